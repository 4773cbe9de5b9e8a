"""The kind and the place that the name of a source means: with its scheme, or as a plain path.

A plain path is read by its content. What could mean two things is refused in one sentence that spells both.
"""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, get_args

from trainer.data.image_files import FoundFiles, find_files, is_image_content, printable
from trainer.data.images import AmbiguousSource, Notice, SourceNotFound
from trainer.data.metadata_file import METADATA_FILES

Scheme = Literal["scenes", "parquet", "folder", "hub"]
SCHEMES: Final[tuple[Scheme, ...]] = get_args(Scheme)

SPECS: Final = "scenes, parquet:PATH, folder:PATH, hub:OWNER/NAME, or the path of a folder or parquet file"
"""Forms of a source's name, for messages"""

_MEANT: Mapping[str, Scheme] = MappingProxyType(
    {
        **dict.fromkeys(("dir", "directory", "file", "path", "imagefolder", "images", "local"), "folder"),
        **dict.fromkeys(("hf", "huggingface", "dataset", "datasets"), "hub"),
        **dict.fromkeys(("pq", "table"), "parquet"),
    }
)
"""Other words for a scheme, in lower case"""
_PARQUET_MAGIC: Final = b"PAR1"
_WINDOWS_PATH: Final = re.compile(r"[A-Za-z]:([\\/]|$)|\\\\")
_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*[A-Za-z0-9]")
_SCHEME_LIKE: Final = re.compile(r"([A-Za-z][A-Za-z0-9+._-]+):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Location:
    """Where the images are."""

    scheme: Scheme
    place: str
    """What follows the scheme; of `scenes` its options, or nothing"""
    notice: Notice | None = None
    """What else the name could have meant"""


def locate(name: str) -> Location:
    """The location that `name` means: `folder:photos`, `photos`, `./photos`, `table.parquet`, `"a*.parquet"`.

    Raises `SourceNotFound` for a name that means nothing, with the nearest spelling, and `AmbiguousSource`.
    """
    scheme, colon, place = name.partition(":")
    for known in SCHEMES:
        if scheme == known and (colon or known == "scenes"):
            return _with_scheme(name, known, place)
    path = _existing(name)
    if path is None:
        return _not_a_path(name)
    if path.is_dir():
        return _folder(name, path)
    return _file(name, path)


def _with_scheme(name: str, scheme: Scheme, place: str) -> Location:
    if scheme != "scenes" and not place:
        raise SourceNotFound(f"the data source is {name!r}; it must be {SPECS}")
    if name != "scenes" or _existing(name) is None:
        return Location(scheme, place)
    message = "scenes are drawn by the built-in generator; the folder of this name is ./scenes"
    return Location(scheme, place, Notice("source-read-as", message, "info"))


def _folder(name: str, path: Path) -> Location:
    found = find_files(path)
    tables = [file for file in (*found.others, *found.images) if file.suffix.lower() == ".parquet"]
    if tables and (found.images or _metadata(found)):
        raise AmbiguousSource(
            f"{name} holds images and parquet files (the first is {printable(str(tables[0]))}): write "
            f"folder:{name} to read the images, or parquet:{name} to read the parquet files"
        )
    return Location("parquet" if tables else "folder", name, _hub_notice(name))


def _metadata(found: FoundFiles) -> bool:
    return any(len(file.parts) == 1 and file.name.lower() in METADATA_FILES for file in found.others)


def _hub_notice(name: str) -> Notice | None:
    """A path such as `photos/train` is also a name that a data set on the hub may have."""
    if not _HUB_NAME.fullmatch(name):
        return None
    message = f"{name} is read as the folder ./{name}; a data set of this name on the hub is hub:{name}"
    return Notice("source-read-as", message, "info")


def _file(name: str, path: Path) -> Location:
    if path.suffix.lower() == ".parquet" or _begins_as_parquet(path):
        return Location("parquet", name)
    if path.name.lower() in METADATA_FILES or is_image_content(path):
        raise SourceNotFound(f"{name} is a single file; name its folder: folder:{path.parent}")
    raise SourceNotFound(f"{name} is neither a folder nor a parquet file; the data source must be {SPECS}")


def _not_a_path(name: str) -> Location:
    if not name.strip():
        raise SourceNotFound(f"the data source is {name!r}; it must be {SPECS}")
    if glob.has_magic(name):
        return _glob(name)
    if _WINDOWS_PATH.match(name):
        raise SourceNotFound(
            f"there is no folder or file {name} on this machine, which is no Windows; the data source must "
            f"be {SPECS}"
        )
    written = _SCHEME_LIKE.fullmatch(name)
    if written is not None:
        raise SourceNotFound(_misspelt(name, written[1], written[2]))
    if _HUB_NAME.fullmatch(name):
        raise SourceNotFound(
            f"there is no folder or file {name}; write hub:{name} for the data set of this name on the hub, "
            f"or folder:PATH for a folder elsewhere"
        )
    near = difflib.get_close_matches(name.lower(), SCHEMES, 1, 0.8)
    meant = f", and the generator is {near[0]}" if near == ["scenes"] else ""
    raise SourceNotFound(
        f"there is no folder or file {printable(name)}{meant}; the data source must be {SPECS}"
    )


def _glob(name: str) -> Location:
    matches = sorted(glob.glob(str(Path(name).expanduser()), recursive=True))
    if not matches:
        raise SourceNotFound(f"nothing matches {name}; the data source must be {SPECS}")
    others = [match for match in matches if Path(match).suffix.lower() != ".parquet"]
    if others:
        raise SourceNotFound(
            f"{name} matches {printable(others[0])}, which is no parquet file; a pattern names parquet "
            "files, and images are named by their folder: folder:PATH"
        )
    return Location("parquet", name)


def _misspelt(name: str, scheme: str, place: str) -> str:
    word = scheme.lower()
    near = difflib.get_close_matches(word, SCHEMES, 1, 0.7)
    meant = _MEANT.get(word) or (near[0] if near else None)
    if meant is None:
        return (
            f"{scheme}: is no scheme that is read here, and there is no file or folder {name}; copy the "
            f"images to this machine and write folder:PATH or parquet:PATH (the data source must be {SPECS})"
        )
    place = place.removeprefix("//") if place.startswith("//") else place
    if meant == "folder" and Path(place).suffix.lower() == ".parquet":
        meant = "parquet"
    spelling = meant if meant == "scenes" and not place else f"{meant}:{place or 'PATH'}"
    return f"{scheme}: is no scheme of a data source; write {spelling} (it must be {SPECS})"


def _existing(name: str) -> Path | None:
    """The path, if it exists; None also for a name that no path can have."""
    try:
        path = Path(name).expanduser()
        return path if name.strip() and path.exists() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _begins_as_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
    except OSError:
        return False
