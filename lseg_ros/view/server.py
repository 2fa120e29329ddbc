"""The server of the page: viser without its prints and without its public links."""

from __future__ import annotations

import contextlib
import io
import logging
import socket
from typing import Any

import viser

__all__ = ["close_server", "open_server"]


class _PrivateServer(viser.ViserServer):  # type: ignore[misc]  # viser is Any to mypy
    def request_share_url(self, *arguments: Any, **options: Any) -> None:
        """Refuse a public link, which any browser on the page could request."""


def open_server(host: str, port: int, title: str) -> viser.ViserServer:
    """Start to serve a page.

    Args:
        host: Address to listen on.
        port: Port to listen on, 0 for any. If it is taken, the next free one.
        title: Title of the page.

    Raises:
        OSError: If the address cannot be used.
    """
    _check_address(host)
    logging.getLogger("websockets").setLevel(logging.WARNING)  # it logs every connection
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its addresses
        server = _PrivateServer(host=host, port=port, label=title, verbose=False)
    server.gui.configure_theme(show_logo=False, show_share_button=False, control_width="large")
    return server


def close_server(server: viser.ViserServer) -> None:
    """Close all connections and stop to listen."""
    with contextlib.redirect_stdout(io.StringIO()):
        server.stop()


def _check_address(host: str) -> None:
    """Raise OSError if this computer has no such address: viser would wait forever."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except OSError as error:
        raise OSError(
            f"host: expected an address of this computer, such as 127.0.0.1, got {host!r} ({error})"
        ) from None
