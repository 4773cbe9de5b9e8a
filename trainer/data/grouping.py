"""Detection of groups that nobody named: columns and names that repeat, and neighbours that look alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bundle.images.decode import decode
from bundle.images.errors import ImageError
from calibration.scores import IntArray
from trainer.data.annotate import NO_GROUPS
from trainer.data.duplicates import fingerprints_of, near_copies
from trainer.data.file_names import in_name_order, name_columns, numbers_frames
from trainer.data.group_questions import GroupQuestion, group_questions, pairs_sentence
from trainer.data.images import ImageSource, Notice
from trainer.data.perceptual import THUMB, fingerprint
from trainer.errors import DataError
from trainer.run.record import GroupsInDoubt

SERIES = 8
"""Number of places in the source, and of consecutive images at each."""
ALIKE = 0.8
"""Correlation from which two thumbnails look alike."""
NEAR_SHARE = 0.01
"""Share of near-copies among the calibration images from which the notice is a warning."""
ALIKE_SHARE = 0.3
"""Share of alike neighbours from which a source counts as a set of series."""
UNUSED = "group-unused"
"""Code of the notice that puts questions about columns"""
GROUPS_DENIED = "every image counts as independent, as --group none says"
"""Notice of a source, or of a run, whose user says that no images belong together"""
SHOWN = 3
"""Questions that a notice puts in full; the rest is named."""


def unnamed_groups(source: ImageSource, answer: str | None) -> Notice | None:
    """The question which images belong together, if no group is named and columns, names or pictures ask it.

    `answer`: what `--group` says; `none` answers the question, which the notice then records. Decodes at most
    2 * SERIES * SERIES images.
    """
    if answer == NO_GROUPS:
        return Notice("group-none", GROUPS_DENIED, "info")
    if source.groups is not None or len(source) < 2 * SERIES:
        return None
    questions = _questions(source)
    signs = list(_signs(source))
    if questions:
        return _named(questions, signs)
    return _without_column(signs) if signs else None


def open_questions(source: ImageSource) -> tuple[GroupQuestion, ...]:
    """All questions about columns and file names behind the notice of a source that asks about groups.

    None if groups are named or denied, or if the source knows that its images are independent, as scenes are.
    """
    return _questions(source) if any(notice.code == UNUSED for notice in source.notices) else ()


def open_signs(source: ImageSource) -> tuple[str, ...]:
    """What pictures and names show of series beside `open_questions`; decodes a small sample."""
    return tuple(_signs(source)) if open_questions(source) else ()


def _questions(source: ImageSource) -> tuple[GroupQuestion, ...]:
    return group_questions(source.metadata, source.labels, name_columns(source.paths))


def question_of(notices: Sequence[Notice]) -> GroupsInDoubt | None:
    """The question without an answer among the notices of a source; None if there is none."""
    asked = next((notice for notice in notices if notice.doubt), None)
    return None if asked is None else GroupsInDoubt(notice=asked.message, doubt=asked.doubt)


def _signs(source: ImageSource) -> Iterator[str]:
    """What pictures and names show of series, beside columns."""
    share = _alike_share(source)
    if share >= ALIKE_SHARE:
        yield f"{100 * share:.0f} % of neighbouring images look alike, as frames of one series do"
    if numbers_frames(source.paths):
        yield f"the names number the frames of a recording ({source.paths[0]})"


def _named(questions: Sequence[GroupQuestion], signs: Sequence[str]) -> Notice:
    shown = ". ".join(question.sentence() for question in questions[:SHOWN])
    others = ", ".join(question.shown for question in questions[SHOWN:])
    rest = f". Further columns whose values repeat: {others}" if others else ""
    pairs = pairs_sentence(questions)
    seen = "".join(f". Beside that, {sign}" for sign in (*signs, *(() if pairs is None else (pairs,))))
    return Notice(
        UNUSED,
        f"nobody has said which images belong together. {shown}{rest}{seen}. If every image stands alone, "
        "use --group none. Until then each image counts as independent evidence; if it is not, every figure "
        "and certificate is too good",
        doubt=questions[0].doubt(),
    )


def _without_column(signs: Sequence[str]) -> Notice:
    return Notice(
        "group-unknown",
        f"{' and '.join(signs)}, and no group is used: such images are no independent evidence, so every "
        "figure and certificate will be too good. Add a column that names the series and use --group, or say "
        "that every image stands alone with --group none",
        doubt=f"It counts every image as independent; but {' and '.join(signs)}, and nobody has said which "
        "belong together.",
    )


def near_copies_in(source: ImageSource, rows: IntArray, pixels: NDArray[np.uint8]) -> Notice | None:
    """A notice on the near-copies among calibration images, which are no independent evidence.

    `pixels`: uint8 [n, H, W, 3], of the whole source. None if there are groups, which cover the case.
    """
    if source.groups is not None or len(rows) < 2:
        return None
    pairs = near_copies(fingerprints_of(pixels[rows]), np.arange(len(rows)))
    if not len(pairs):
        return None
    found = len(np.unique(pairs))
    first, second = (source.paths[int(rows[place])] for place in pairs[0])
    return Notice(
        "near-copies",
        f"{found:,} of {len(rows):,} calibration images have a near-copy among them (for example {first} ~ "
        f"{second}): they are no independent evidence, and the certificate counts each as one. Name what "
        "belongs together with --group",
        "warning" if found > NEAR_SHARE * len(rows) else "info",
    )


def _alike_share(source: ImageSource) -> float:
    """The larger `_alike_in` of the source's own order and of that of the file names."""
    own, by_name = np.arange(len(source), dtype=np.int64), in_name_order(source.paths)
    orders = (own,) if np.array_equal(own, by_name) else (own, by_name)
    return max(_alike_in(source, order) for order in orders)


def _alike_in(source: ImageSource, order: IntArray) -> float:
    """Share of neighbours at a few places of an order that look alike, minus that of images from different
    places."""
    starts = np.linspace(0, len(source) - SERIES, SERIES).astype(int)
    rows = order[starts[:, None] + np.arange(SERIES)]
    thumbs = np.zeros((SERIES, SERIES, THUMB * THUMB), dtype=np.float32)
    for place in np.ndindex(rows.shape):
        try:
            thumbs[place] = fingerprint(decode(source.read(int(rows[place])), target=(64, 64))).thumb
        except (ImageError, DataError):  # reported as a fault by the pass that reads every image
            continue
    neighbours = (thumbs[:, 1:] * thumbs[:, :-1]).sum(axis=-1) >= ALIKE
    strangers = (thumbs[1:] * thumbs[:-1]).sum(axis=-1) >= ALIKE
    return float(neighbours.mean() - strangers.mean())
