"""File formats of decision tables, spelled once for the verb and the writers; imports nothing but typing."""

from __future__ import annotations

from typing import Final, Literal, get_args

TableSuffix = Literal[".parquet", ".csv", ".jsonl"]

TABLE_SUFFIXES: Final[tuple[TableSuffix, ...]] = get_args(TableSuffix)
