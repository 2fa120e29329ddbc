"""Download, verify and find the files that the authors of LSeg publish."""

from __future__ import annotations

import hashlib
import os
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FILES", "PretrainedFile", "cache_folder", "fetch", "find_cached", "sha256"]


@dataclass(frozen=True)
class PretrainedFile:
    """A file in the list of the authors (README of isl-org/lang-seg).

    Attributes:
        file_id: Its public id on Google Drive.
        contents: Network and training data.
    """

    file_id: str
    contents: str

    @property
    def page(self) -> str:
        """Its page for a browser."""
        return f"https://drive.google.com/file/d/{self.file_id}/view"


FILES: dict[str, PretrainedFile] = {
    "demo_e200": PretrainedFile("1FTuHY1xPUkM-5gaDtMfgCl3D0gR89WV7", "ViT-L/16, seven data sets: for any words"),
    "pascal_fold0": PretrainedFile("1y4z4_yNGlZtn6osaeN4ZjMs6c0vr0F3m", "ResNet-101, PASCAL-5i without fold 0"),
    "pascal_fold1": PretrainedFile("1UZzN8kWkH-G8v6P8xcBXEHRZlQKPRxrX", "ResNet-101, PASCAL-5i without fold 1"),
    "pascal_fold2": PretrainedFile("1KCq1JphSMvj8X78bkWbdNIFm5zYzLTMX", "ResNet-101, PASCAL-5i without fold 2"),
    "pascal_fold3": PretrainedFile("1A_fllOJqyBg0ZTJcm85Cn0NAcwQbXnhl", "ResNet-101, PASCAL-5i without fold 3"),
    "coco_fold0": PretrainedFile("1nSYO3XtAv4mzWi4x-MFUfk04cpBKJT38", "ResNet-101, COCO-20i without fold 0"),
    "coco_fold1": PretrainedFile("1w0vz3yjEi_ZLgECRrgtoLxEHugyJkrs5", "ResNet-101, COCO-20i without fold 1"),
    "coco_fold2": PretrainedFile("1wmHtmJLdta18XuWQv6oX9llidCll_HrD", "ResNet-101, COCO-20i without fold 2"),
    "coco_fold3": PretrainedFile("1dliBUSOog7taJxMmb9cdefKH4XOKChVJ", "ResNet-101, COCO-20i without fold 3"),
    "fss_rn101": PretrainedFile("1UIj49Wp1mAopPub5M6O4WW-Z79VB1bhw", "ResNet-101, FSS-1000"),
    "fss_l16": PretrainedFile("1Nplkc_JsHIS55d--K2vonOOC3HrppzYy", "ViT-L/16, FSS-1000"),
}


def cache_folder() -> Path:
    """Return the folder of downloaded files.

    It is ``$XDG_CACHE_HOME/lseg_ros``, or ``~/.cache/lseg_ros`` if the variable is not set.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lseg_ros"


def find_cached(name: str) -> Path:
    """Return the downloaded file of this name, after checking its sha256.

    The sha256 of a file that was saved by hand is recorded at its first use.

    Raises:
        FileNotFoundError: If the file was not downloaded; the message says how to get it.
        ValueError: If the file has changed since its sha256 was recorded.
    """
    path = _path(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"{name}: expected the authors' file at {path}, got none; run `lseg checkpoint fetch {name}`"
        )
    recorded, found = _recorded_sha256(path), sha256(path)
    if recorded is None:
        _sha256_file(path).write_text(f"{found}  {path.name}\n")
    elif found != recorded:
        raise ValueError(
            f"{path}: expected the recorded sha256 {recorded}, got {found}; "
            "remove the file and its .sha256 file, and fetch it again"
        )
    return path


def fetch(
    name: str, *, quiet: bool = False, max_bytes: int = 8 << 30, max_seconds: float = 7200.0, expected_sha256: str = ""
) -> Path:
    """Download one of ``FILES``, or resume its download. A file in the cache is only verified.

    The file appears when it is complete, next to its sha256 (``.sha256``, in the format of sha256sum).

    Args:
        name: A name in ``FILES``.
        quiet: Show no progress bar.
        max_bytes: Largest file. A larger one is not kept.
        max_seconds: Longest download. What has arrived until then is kept, and the next call continues.
        expected_sha256: The sha256 that the file must have, in hexadecimal digits; empty if it is not known.

    Raises:
        ValueError: If the name is not listed, or the file is too large or has another sha256.
        ConnectionError: If the download fails; the message says how to save the file by hand.
    """
    if name not in FILES:
        raise ValueError(f"name: expected one of {', '.join(FILES)}, got {name!r}")
    path = _path(name)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        _download(name, part, quiet, max_bytes, max_seconds)
        found = sha256(part)
        if expected_sha256 and found != expected_sha256.lower():
            part.unlink()
            raise ValueError(f"{name}: expected the sha256 {expected_sha256}, got {found}; the download was removed")
        _sha256_file(path).write_text(f"{found}  {path.name}\n")
        part.replace(path)
    find_cached(name)
    if expected_sha256 and _recorded_sha256(path) != expected_sha256.lower():
        raise ValueError(f"{path}: expected the sha256 {expected_sha256}, got {_recorded_sha256(path)}")
    return path


def sha256(path: Path) -> str:
    """Compute the sha256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _download(name: str, part: Path, quiet: bool, max_bytes: int, max_seconds: float) -> None:
    """Download a file to ``part``, and check that it is a zip archive, like any PyTorch file."""
    import gdown  # slow, and unnecessary without a download

    def check_size(received: int, total: int | None) -> None:
        if (size := max(received, total or 0)) > max_bytes:
            raise _TooLargeError(f"{name}: expected a file of at most {max_bytes} bytes, got {size}")

    expired = threading.Event()
    timer = threading.Timer(max_seconds, expired.set)
    timer.daemon = True
    timer.start()
    try:
        gdown.download(
            FILES[name].page, str(part), quiet=quiet, resume=True, timeout=30, use_cookies=False,
            progress=check_size, cancel=expired,
        )  # fmt: skip
    except _TooLargeError:
        for rest in part.parent.glob(f"{part.name}*"):
            rest.unlink()
        raise
    # requests' errors are OSErrors
    except (OSError, gdown.exceptions.DownloadError, gdown.exceptions.DownloadCancelled) as error:
        reason = " ".join(str(_root_cause(error)).split())[:200]
        if expired.is_set():
            reason = f"it took more than {max_seconds:g} s; the next download continues where this one stopped"
        raise ConnectionError(_manual_instructions(name, reason)) from error
    finally:
        timer.cancel()
    if not zipfile.is_zipfile(part):
        with part.open("rb") as file:
            start = file.read(40)
        part.unlink()
        raise ConnectionError(
            _manual_instructions(name, f"expected a PyTorch file, got one that begins with {start!r}")
        )


class _TooLargeError(ValueError):
    """A file is larger than the limit."""


def _manual_instructions(name: str, reason: str) -> str:
    return (
        f"{name}: could not be downloaded ({reason}). Open {FILES[name].page} in a browser, and save the file as "
        f"{_path(name)}"
    )


def _root_cause(error: BaseException) -> BaseException:
    """Return the root cause, which has the shortest message."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error


def _path(name: str) -> Path:
    return cache_folder() / f"{name}.ckpt"


def _recorded_sha256(path: Path) -> str | None:
    """Return the sha256 in the file next to ``path``, or None if there is none."""
    file = _sha256_file(path)
    if not file.is_file():
        return None
    with file.open(encoding="ascii", errors="replace") as lines:
        return next(iter(lines.read(200).split()), None)


def _sha256_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
