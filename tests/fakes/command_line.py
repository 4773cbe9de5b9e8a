"""The command line run in the process of a test."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from demur import cli


@dataclass(frozen=True)
class Ended:
    """A command line that has ended."""

    code: int
    out: str
    err: str


Demur = Callable[..., Ended]
"""`demur(*arguments)`: the entry point with these arguments"""


def in_this_process(monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[bytes]) -> Demur:
    """The entry point with captured output, which subprocesses write to as well."""
    monkeypatch.delenv("DEMUR_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["demur", *map(str, arguments)])
        capture.readouterr()
        try:
            cli.main()
            code: object = 0
        except SystemExit as stop:
            code = stop.code
        out, err = (text.decode("utf-8") for text in capture.readouterr())
        assert code is None or isinstance(code, int)
        return Ended(code or 0, out, err)

    return run
