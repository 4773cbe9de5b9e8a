"""Reasons: what people and errors say, as records hold it."""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 1000


def one_line(text: str) -> str:
    """A text as one line that a terminal may show, not too long."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(shown.split())[:_LONGEST]
