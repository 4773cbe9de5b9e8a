"""Generation of many sequences in several processes; the images do not depend on their number."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

from trainer.scenes.options import Frame, SceneOptions
from trainer.scenes.sequence import render_sequence

Progress = Callable[[int, int], None]
"""Called with (frames done, frames in all)"""
_CHUNK = 32
"""Sequences per task"""


def render(options: SceneOptions, processes: int = 2, on_progress: Progress | None = None) -> list[Frame]:
    """All frames in order: sequence by sequence, frame by frame."""
    return list(iter_frames(options, processes, on_progress))


def iter_frames(
    options: SceneOptions, processes: int = 1, on_progress: Progress | None = None
) -> Iterator[Frame]:
    """The same, one at a time; only a few chunks are held in memory."""
    if processes < 1:
        raise ValueError(f"processes is {processes}; it must be at least 1")
    total, done = options.sequences * options.frames, 0
    for chunk in _chunks(options, processes):
        yield from chunk
        done += len(chunk)
        if on_progress is not None:
            on_progress(done, total)


def _chunks(options: SceneOptions, processes: int) -> Iterator[list[Frame]]:
    starts = range(0, options.sequences, _CHUNK)
    if processes == 1 or len(starts) == 1:
        for start in starts:
            yield _render_chunk(options, start)
        return
    # Spawned, not forked: the caller may hold threads (torch, a progress bar).
    pool = ProcessPoolExecutor(min(processes, len(starts)), mp_context=get_context("spawn"))
    try:
        pending: deque[Future[list[Frame]]] = deque()
        for start in starts:
            with _interrupts_blocked():
                pending.append(pool.submit(_render_chunk, options, start))
            if len(pending) > 2 * processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes that start inside never see Ctrl-C, so that only this one answers it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _render_chunk(options: SceneOptions, start: int) -> list[Frame]:
    stop = min(start + _CHUNK, options.sequences)
    return [frame for index in range(start, stop) for frame in render_sequence(options, index)]
