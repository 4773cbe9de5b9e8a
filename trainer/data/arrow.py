"""Arrow tables as flat NumPy columns: nested fields get dotted names, unusable columns a notice."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainer.data.images import Column, Notice

LONGEST_LIST = 4
"""Longest list of numbers (a position, for example) that becomes columns name.0, name.1, ..."""


def to_columns(table: pa.Table) -> tuple[dict[str, Column], list[Notice]]:
    """Columns by dotted name, and a notice about those of other types."""
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    columns: dict[str, Column] = {}
    left_out: list[str] = []
    for name in table.column_names:
        array = table.column(name).combine_chunks()
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if _is_list(array.type):
            parts = _list_parts(array)
            columns.update({f"{name}.{index}": part for index, part in enumerate(parts)})
            if not parts:
                left_out.append(name)
        elif pa.types.is_null(array.type):
            columns[name] = np.full(len(array), "", dtype=np.str_)
        else:
            try:
                columns[name] = _to_numpy(array)
            except (pa.ArrowException, TypeError, ValueError):
                left_out.append(name)
    if not left_out:
        return columns, []
    return columns, [
        Notice("column-left-out", f"left out, neither number nor text: {', '.join(left_out)}", "info")
    ]


def _to_numpy(array: pa.Array) -> Column:
    kind = array.type
    if pa.types.is_boolean(kind):
        array = pc.cast(array, pa.int8())
        kind = array.type
    if pa.types.is_decimal(kind):
        array = pc.cast(array, pa.float64())
        kind = array.type
    if pa.types.is_integer(kind) and array.null_count == 0:
        return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.int64)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64)
    texts = pc.fill_null(pc.cast(array, pa.large_string()), "")
    return np.asarray(texts.to_numpy(zero_copy_only=False), dtype=np.str_)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _list_parts(array: pa.Array) -> list[Column]:
    """Short lists of numbers as one column per position; empty if the lists are long or hold no numbers."""
    value_type = array.type.value_type
    if not (pa.types.is_integer(value_type) or pa.types.is_floating(value_type)):
        return []
    longest = pc.max(pc.list_value_length(array)).as_py() or 0
    if not 1 <= longest <= LONGEST_LIST:
        return []
    parts = np.full((longest, len(array)), np.nan)
    for row, values in enumerate(array.to_pylist()):
        for place, value in enumerate(values or ()):
            parts[place, row] = np.nan if value is None else float(value)
    return list(parts)
