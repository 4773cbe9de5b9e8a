"""The evidence of a chunk: its images in order, errors and all that lies between them."""

from __future__ import annotations

from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.sequential import AuditSums, EDetector
from monitoring.promise.chunk import SECONDS, Chunk, Evidence
from monitoring.promise.items import AuditItem

INDEX = 31_250
BEGIN = INDEX * SECONDS
PARTS = ("no", "yes")


def chunk_of(seed: int, audits: int, *, parts: tuple[str, ...] = PARTS) -> Chunk:
    rng = np.random.default_rng(seed)
    chunk = Chunk(INDEX)
    for number in range(audits):
        at = BEGIN + round(float(rng.random()) * SECONDS, 6) % SECONDS
        wrong = [True, False, False, None][rng.integers(4)]
        probability = float(rng.uniform(0.2, 1.0))
        item = AuditItem(f"r{number}", None, at, probability, wrong, None, str(rng.choice(parts)))
        chunk.audits[item.request_id] = item
    for part in parts:
        chunk.unaudited[part] = array("q", rng.integers(0, 3, SECONDS).tolist())
    return chunk


def images_in_order(chunk: Chunk, part: str | None, until: int | None) -> list[AuditItem | None]:
    """One by one, as the order is defined; None: not audited."""
    found: list[AuditItem | None] = []
    for second in range(BEGIN, BEGIN + SECONDS if until is None else until):
        items = [one for one in chunk.audits.values() if int(one.at) == second and part in (None, one.part)]
        found += sorted(items, key=lambda one: (one.at, one.request_id))
        for name, row in chunk.unaudited.items():
            if part in (None, name):
                found += [None] * row[second - BEGIN]
    return found


def told(evidence: Evidence) -> list[AuditItem | float | None]:
    """The images again: None for one without an error, the probability of one with an error."""
    found: list[AuditItem | float | None] = []
    for second in evidence.seconds:
        for wrong in second.audits:
            found += [None] * wrong.before + [wrong.probability]
        found += [None] * second.after
    return found + [None] * evidence.after


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 60),
    st.sampled_from([None, *PARTS]),
    st.none() | st.integers(BEGIN, BEGIN + SECONDS),
)
def test_the_evidence_is_the_images_in_order(
    seed: int, audits: int, part: str | None, until: int | None
) -> None:
    chunk = chunk_of(seed, audits)
    evidence = chunk.evidence(part, until)
    images = images_in_order(chunk, part, until)
    audited = [one for one in images if one is not None]
    errors = [one for one in audited if one.wrong is not False]
    expected = [None if one is None or one.wrong is False else one.probability for one in images]
    assert told(evidence) == expected
    assert evidence.images == len(images)
    assert evidence.missing == sum(one.wrong is None for one in audited)
    assert evidence.least == min((one.probability for one in audited), default=float("inf"))
    sums = AuditSums()
    for one in audited:
        sums = sums.plus(one in errors, 1.0 / one.probability)
    assert evidence.sums.upper_bound() == pytest.approx(sums.upper_bound(), rel=1e-12)
    assert [one.missing for one in evidence.wrong] == [one.wrong is None for one in errors]


@given(st.integers(0, 2**32 - 1), st.integers(0, 60))
def test_images_without_an_error_may_be_counted_together(seed: int, audits: int) -> None:
    chunk = chunk_of(seed, audits)
    one_by_one, together = EDetector(0.02, share=0.5), EDetector(0.02, share=0.5)
    for image in images_in_order(chunk, None, None):
        wrong = image is not None and image.wrong is not False
        one_by_one.update(wrong, image is not None, 1.0 if image is None else image.probability)
    evidence = chunk.evidence(None)
    for second in evidence.seconds:
        for error in second.audits:
            together.repeat(error.before)
            together.update(True, True, error.probability)
        together.repeat(second.after)
    assert together.repeat(evidence.after) == pytest.approx(one_by_one.value, rel=1e-12)


def test_a_chunk_of_one_part_has_the_evidence_of_all_parts() -> None:
    chunk = chunk_of(1, 40, parts=("yes",))
    assert chunk.evidence("yes") == chunk.evidence(None)
    assert chunk.evidence("no").images == 0


def test_a_change_is_seen() -> None:
    chunk = chunk_of(2, 40)
    before = chunk.evidence(None)
    del chunk.audits["r3"]
    chunk.forget()
    assert chunk.evidence(None).images == before.images - 1
