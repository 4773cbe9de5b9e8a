"""Text output that never fails on a character: of any name of a file, on a terminal of any encoding.

File names may hold bytes that are no UTF-8; Python keeps them as lone surrogates. Such bytes, and characters
that the output's encoding lacks, are written as escapes: `caf\\xe9.png`, `gr\\xf6\\xdfer`.
"""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from itertools import takewhile
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trainer.run.console import RunConsole

ESCAPE: Final = "demur-escape"
"""Name of the error handler"""


def escape_unencodable() -> None:
    """Make standard output and standard error escape what their encoding lacks, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=ESCAPE)


def printable(text: str) -> str:
    """The text with bytes that are no UTF-8 as escapes; it can be written to any UTF-8 file."""
    return text.encode("utf-8", ESCAPE).decode("utf-8")


def sentence(error: Exception) -> str:
    """The message of an error; of an error of the system its file and the reason."""
    if not isinstance(error, OSError) or error.filename is None or not error.strerror:
        return str(error)
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return f"{' -> '.join(names)}: {error.strerror[:1].lower()}{error.strerror[1:]}"


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for JSON."""
    return "--json" in takewhile(lambda argument: argument != "--", arguments)


def run_console(as_json: bool = False) -> RunConsole:
    """Console of a verb: on standard output, or on standard error beside a JSON document."""
    from rich.console import Console

    from trainer.run.console import RunConsole

    return RunConsole(Console(stderr=as_json))


def write_json(value: Any) -> None:
    """Print a JSON document: in UTF-8, or in ASCII if the output has another encoding.

    Paths become text, NumPy arrays lists, and numbers that JSON has no word for (NaN, infinity) null.
    """
    import orjson

    document = orjson.dumps(_printable(value), option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)
    if not sys.stdout.encoding.lower().startswith("utf"):
        document = json.dumps(json.loads(document), indent=2).encode("ascii")
    sys.stdout.flush()
    sys.stdout.buffer.write(document + b"\n")


def print_warning(text: str) -> None:
    """Print a warning to standard error, in colour on a terminal."""
    from rich.console import Console

    Console(stderr=True).print(text, style="bold yellow", markup=False, highlight=False, soft_wrap=True)


def _printable(value: Any) -> Any:
    if isinstance(value, str | PurePath):
        return printable(str(value))
    if isinstance(value, Mapping):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return value


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(map(_escaped, characters)), error.end


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error(ESCAPE, _escape)
