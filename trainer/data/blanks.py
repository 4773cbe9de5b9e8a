"""Blanks around the cells of text tables: layout of the file, or part of a name.

Names of groups, slices and classes stay as they are written, so `a` and `a ` are two. But a file with the
header `file_name, label` writes a blank after each comma, which belongs to no name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

_BLANKS = " \t"


@dataclass(frozen=True, slots=True)
class ColumnLayout:
    """A column of a text table: its name, and on which sides its cells are padded."""

    name: str
    before: bool
    after: bool

    @classmethod
    def of(cls, header: str) -> Self:
        """From the cell of the header: the column is padded where its name is."""
        return cls(header.strip(), header.lstrip(_BLANKS) != header, header.rstrip(_BLANKS) != header)

    def cell(self, text: str) -> str:
        """The cell without its padding."""
        text = text.lstrip(_BLANKS) if self.before else text
        return text.rstrip(_BLANKS) if self.after else text


def name_or_missing(text: str) -> str:
    """The text as it is; empty, as a missing value, if it holds nothing but blanks."""
    return text if text.strip() else ""
