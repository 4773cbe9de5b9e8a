"""One pass over all rows with a few threads, nearly in order, with bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

CHUNK = 64
"""Rows per task of a thread."""
MOST_THREADS = 8
"""Decoding releases the interpreter lock; with more threads, reading the file is the limit."""


def each_row(
    n: int,
    work: Callable[[int], None],
    *,
    workers: int | None = None,
    advance: Callable[[int], None] | None = None,
) -> None:
    """Call `work(row)` for every row below n, nearly in ascending order, so that reading is sequential.

    `advance` gets the number of rows just done. The first exception of `work` is raised.
    """

    def chunk_of(rows: range) -> int:
        for row in rows:
            work(row)
        return len(rows)

    chunks = (range(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK))
    threads = workers or min(MOST_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        while batch := list(islice(chunks, 4 * threads)):
            for done in pool.map(chunk_of, batch):
                if advance is not None:
                    advance(done)
