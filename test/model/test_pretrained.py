"""Tests of downloading the authors' files: atomic, resumable and verified.

A local server replaces Google Drive. The client is real, including gdown.
"""

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from lseg_ros.model import load_lseg, pretrained
from lseg_ros.model.pretrained import PretrainedFile, fetch, find_cached


class Server(ThreadingHTTPServer):
    """Serves one file; the connection can break or stall once after some bytes."""

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.breaks_after, self.first_bytes = content, 0, list[int]()
        self.stalls_after, self.resumes = 0, threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        requested = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(requested[1]) if requested else 0
        self.server.first_bytes.append(first)
        rest = self.server.content[first:]
        self.send_response(206 if requested else 200)
        self.send_header("Content-Length", str(len(rest)))
        if requested:
            end = len(self.server.content)
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{end}")
        self.end_headers()
        if self.server.breaks_after:
            rest, self.server.breaks_after = rest[: self.server.breaks_after], 0
        if self.server.stalls_after:
            self.wfile.write(rest[: self.server.stalls_after])
            self.server.stalls_after = 0
            self.server.resumes.wait(60)
            return
        self.wfile.write(rest)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    torch.save({"state_dict": {"net.a": torch.arange(1_000_000.0)}}, tmp_path / "source.ckpt")
    return (tmp_path / "source.ckpt").read_bytes()


@pytest.fixture
def server(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Replace Google Drive for demo_e200, and use an empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Server(content) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = f"http://127.0.0.1:{server.server_address[1]}/demo_e200.ckpt"
        monkeypatch.setattr(PretrainedFile, "page", page)
        yield server
        server.shutdown()


def test_downloads_the_file_and_records_its_sha256(server: Server, content: bytes, tmp_path: Path) -> None:
    path = fetch("demo_e200", quiet=True)
    assert path == tmp_path / "cache" / "lseg_ros" / "demo_e200.ckpt"
    assert path.read_bytes() == content
    summed = hashlib.sha256(content).hexdigest()
    assert (path.parent / "demo_e200.ckpt.sha256").read_text() == f"{summed}  demo_e200.ckpt\n"
    assert len(list(path.parent.iterdir())) == 2


def test_verifies_a_downloaded_file_instead_of_downloading_it_again(server: Server) -> None:
    path = fetch("demo_e200", quiet=True)
    assert fetch("demo_e200", quiet=True) == find_cached("demo_e200") == path
    assert len(server.first_bytes) == 1


def test_resumes_an_interrupted_download(server: Server, content: bytes) -> None:
    server.breaks_after = 2_000_000
    with pytest.raises(ConnectionError, match="demo_e200: could not be downloaded"):
        fetch("demo_e200", quiet=True)
    assert not (pretrained.cache_folder() / "demo_e200.ckpt").exists()
    assert fetch("demo_e200", quiet=True).read_bytes() == content
    assert 0 < server.first_bytes[-1] <= 2_000_000


def test_stops_a_download_that_takes_too_long_and_continues_it(server: Server, content: bytes) -> None:
    server.stalls_after = 2_000_000
    with pytest.raises(ConnectionError, match=r"\(it took more than 1 s; the next download continues where this one"):
        fetch("demo_e200", quiet=True, max_seconds=1.0)
    server.resumes.set()
    assert not (pretrained.cache_folder() / "demo_e200.ckpt").exists()
    assert fetch("demo_e200", quiet=True).read_bytes() == content
    assert server.first_bytes[-1] > 0


def test_does_not_keep_a_file_that_is_too_large(server: Server, content: bytes) -> None:
    with pytest.raises(ValueError, match=rf"demo_e200: expected a file of at most 1000 bytes, got {len(content)}"):
        fetch("demo_e200", quiet=True, max_bytes=1000)
    assert list(pretrained.cache_folder().iterdir()) == []


def test_compares_the_sha256_if_it_is_known(server: Server, content: bytes) -> None:
    with pytest.raises(ValueError, match=r"demo_e200: expected the sha256 0{64}, got \w{64}; the download was removed"):
        fetch("demo_e200", quiet=True, expected_sha256="0" * 64)
    assert list(pretrained.cache_folder().iterdir()) == []
    summed = hashlib.sha256(content).hexdigest()
    path = fetch("demo_e200", quiet=True, expected_sha256=summed.upper())
    with pytest.raises(ValueError, match=rf"demo_e200\.ckpt: expected the sha256 0{{64}}, got {summed}"):
        fetch("demo_e200", quiet=True, expected_sha256="0" * 64)
    path.with_name("demo_e200.ckpt.sha256").write_bytes(b"")  # an interrupted write
    assert fetch("demo_e200", quiet=True) == path


def test_does_not_keep_a_web_page(server: Server) -> None:
    server.content = b"<html>Quota exceeded</html>"
    with pytest.raises(ConnectionError, match=r"expected a PyTorch file, got one that begins with b'<html>Quota"):
        fetch("demo_e200", quiet=True)
    assert list(pretrained.cache_folder().iterdir()) == []


def test_failed_download_explains_how_to_save_the_file_by_hand(server: Server) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError) as caught:
        fetch("demo_e200", quiet=True)
    assert re.fullmatch(
        r"demo_e200: could not be downloaded \(.*refused\)\. Open http\S+ in a browser, "
        r"and save the file as \S+/cache/lseg_ros/demo_e200\.ckpt",
        str(caught.value),
    )


def test_rejects_a_file_that_changed_since_its_download(server: Server) -> None:
    path = fetch("demo_e200", quiet=True)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    for function in (find_cached, fetch, load_lseg):
        with pytest.raises(ValueError, match=r"demo_e200\.ckpt: expected the recorded sha256 \w{64}, got \w{64}"):
            function("demo_e200")


def test_accepts_a_file_saved_by_hand_and_records_its_sha256(server: Server, content: bytes) -> None:
    pretrained.cache_folder().mkdir(parents=True)
    (pretrained.cache_folder() / "demo_e200.ckpt").write_bytes(content)
    assert find_cached("demo_e200").read_bytes() == content
    assert (pretrained.cache_folder() / "demo_e200.ckpt.sha256").exists()
    assert server.first_bytes == []


def test_name_of_a_downloaded_file_is_a_checkpoint(server: Server) -> None:
    with pytest.raises(FileNotFoundError, match="run `lseg checkpoint fetch demo_e200`"):
        load_lseg("demo_e200")
    fetch("demo_e200", quiet=True)
    with pytest.raises(ValueError, match=r"demo_e200\.ckpt: expected the \d+ entries of an LSeg network"):
        load_lseg("demo_e200")


def test_unknown_name_lists_the_files() -> None:
    with pytest.raises(ValueError, match="name: expected one of demo_e200, pascal_fold0, .*, fss_l16, got 'demo'"):
        fetch("demo")


def test_pages_are_those_of_the_authors_readme() -> None:
    assert (
        pretrained.FILES["demo_e200"].page == "https://drive.google.com/file/d/1FTuHY1xPUkM-5gaDtMfgCl3D0gR89WV7/view"
    )
    assert len({file.file_id for file in pretrained.FILES.values()}) == 11
    assert {len(file.file_id) for file in pretrained.FILES.values()} == {33}
