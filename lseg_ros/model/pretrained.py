"""The files that the authors of LSeg publish: where they are, and where a fetched one lives on this machine."""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FILES", "PretrainedFile", "cache_folder", "fetch", "find_cached", "sha256"]


@dataclass(frozen=True)
class PretrainedFile:
    """One file of the authors' list (the README of isl-org/lang-seg), by its public id on Google Drive."""

    file_id: str
    contents: str

    @property
    def page(self) -> str:
        """Where a browser can have it."""
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
    """Where fetched files live: ``$XDG_CACHE_HOME/lseg_ros``, or ``~/.cache/lseg_ros``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lseg_ros"


def find_cached(name: str) -> Path:
    """The fetched file of this name, once its sha256 is found to be the recorded one.

    Raises FileNotFoundError that says how to get it, ValueError where the file has changed since it was fetched.
    """
    path = _path(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"{name}: expected the authors' file at {path}, got none; `lseg checkpoint fetch {name}` brings it"
        )
    recorded = _sums(path).read_text().split()[0] if _sums(path).exists() else None
    found = sha256(path)
    if recorded is None:
        _sums(path).write_text(f"{found}  {path.name}\n")
    elif found != recorded:
        raise ValueError(
            f"{path}: expected the sha256 {recorded} that was recorded when it came, got {found}; "
            "remove the file (and the .sha256 beside it) and fetch it again"
        )
    return path


def fetch(name: str, *, quiet: bool = False) -> Path:
    """Download one of ``FILES``, or go on with a download that was interrupted; a file that is there is only checked.

    The file appears whole, with its sha256 beside it (``.sha256``, in the format of sha256sum), or not at all. quiet:
    no progress bar. Raises ValueError for a name that is not listed, ConnectionError that says where else to get the
    file and where to put it.
    """
    if name not in FILES:
        raise ValueError(f"name: expected one of {', '.join(FILES)}, got {name!r}")
    path = _path(name)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        _download(name, part, quiet)
        _sums(path).write_text(f"{sha256(part)}  {path.name}\n")
        part.replace(path)
    return find_cached(name)


def sha256(path: Path) -> str:
    """The checksum of a file, in hexadecimal digits."""
    summed = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            summed.update(block)
    return summed.hexdigest()


def _download(name: str, part: Path, quiet: bool) -> None:
    """The file of this name at ``part``: a whole PyTorch file, as far as its first and last bytes tell."""
    import gdown  # here: a network without downloads shall not wait for it

    try:
        gdown.download(FILES[name].page, str(part), quiet=quiet, resume=True, timeout=30, use_cookies=False)
    except (OSError, gdown.exceptions.DownloadError) as error:  # requests' errors are OSErrors
        raise ConnectionError(_by_hand(name, " ".join(str(_innermost(error)).split())[:200])) from error
    if not zipfile.is_zipfile(part):
        with part.open("rb") as file:
            start = file.read(40)
        part.unlink()
        raise ConnectionError(_by_hand(name, f"expected a PyTorch file, got one that begins with {start!r}"))


def _by_hand(name: str, reason: str) -> str:
    return (
        f"{name}: could not be downloaded ({reason}). Open {FILES[name].page} in a browser, and save the file as "
        f"{_path(name)}"
    )


def _innermost(error: BaseException) -> BaseException:
    """The error at the root, which says in a few words what the ones around it say in many."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error


def _path(name: str) -> Path:
    return cache_folder() / f"{name}.ckpt"


def _sums(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
