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
        if not _stays_distinct(array, pa.float64()):
            return _texts(array)
        array = pc.cast(array, pa.float64())
        kind = array.type
    if pa.types.is_integer(kind) and array.null_count == 0:
        if not _fits_int64(array):
            return _texts(array)
        return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.int64)
    if pa.types.is_integer(kind) and not _is_exact_in_float64(array):
        return _texts(array)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64)
    return _texts(array)


def _texts(array: pa.Array) -> Column:
    texts = pc.fill_null(pc.cast(array, pa.large_string()), "")
    blank = pc.equal(pc.utf8_trim_whitespace(texts), "")
    named = pc.if_else(blank, pa.scalar("", pa.large_string()), texts)
    return np.asarray(named.to_numpy(zero_copy_only=False), dtype=np.str_)


def _stays_distinct(array: pa.Array, kind: pa.DataType) -> bool:
    """Whether different values are different in `kind` too, so that no two names become one."""
    return bool(pc.count_distinct(pc.cast(array, kind)).as_py() == pc.count_distinct(array).as_py())


def _fits_int64(array: pa.Array) -> bool:
    largest = pc.max(array).as_py()
    return largest is None or largest < 2**63


def _is_exact_in_float64(array: pa.Array) -> bool:
    """Whether every whole number is within the range in which float64 holds them all."""
    ends = pc.min_max(array)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    return low is None or (low >= -(2**53) and high <= 2**53)


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
