"""File formats and rows of tables, spelled once for the verbs and the writers; imports nothing but typing."""

from __future__ import annotations

from typing import Final, Literal, get_args

TableSuffix = Literal[".parquet", ".csv", ".jsonl"]
RowChoice = Literal["labelled", "unlabelled", "answered", "abstained", "audited"]

TABLE_SUFFIXES: Final[tuple[TableSuffix, ...]] = get_args(TableSuffix)
ROW_CHOICES: Final[tuple[RowChoice, ...]] = get_args(RowChoice)
