"""Columns whose values repeat are questions; constant, unique, counting and label-determined ones are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainer.data.group_questions import group_questions, pairs_sentence

N = 2000
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, N)


def asked(**columns: Any) -> list[str]:
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    return [question.column for question in group_questions(arrays, LABELS)]


def test_a_text_column_that_repeats_is_a_question_with_its_figures() -> None:
    owners = RNG.permutation(np.repeat([f"owner {k}" for k in range(400)], 5))
    (question,) = group_questions({"owner": owners}, LABELS)
    assert question.sentence() == (
        "owner: 400 values, 5 images each; if images of one owner belong together, use --group owner"
    )
    assert "400 values, 5 images each" in question.doubt()


def test_figures_of_uneven_groups() -> None:
    drives = np.repeat(np.arange(8), [4, 96, 300, 300, 300, 300, 300, 400])
    (question,) = group_questions({"drive no": drives}, LABELS)
    assert "8 values, 4 to 400 images each, median 300" in question.sentence()
    assert "--group 'drive no'" in question.sentence()


@pytest.mark.parametrize(
    "column",
    [
        RNG.integers(0, 500, N),  # whole numbers in no order
        RNG.integers(0, 500, N).astype(np.float64),  # the same with a type that may hold gaps
        [f"{k:03d}" for k in RNG.integers(0, 500, N)],
        ["" if k % 3 else f"x{k % 12}" for k in range(N)],  # mostly missing
        [f"{k // 2}" for k in range(2 * (N // 4))]
        + [f"alone {k}" for k in range(N // 2)],  # half of it alone
    ],
)
def test_columns_that_repeat(column: Any) -> None:
    assert asked(house=column) == ["house"]


@pytest.mark.parametrize(
    "column",
    [
        ["same"] * N,
        [f"image {k}" for k in range(N)],
        np.arange(N),
        [f"image {k}" if k else "image 1" for k in range(N)],  # one copy is no grouping
        np.tile(np.arange(20), N // 20),  # the number of a frame
        RNG.normal(size=N),
        np.repeat(RNG.normal(size=N // 4), 4),  # a measured number
        [f"{value:.1f}" for value in RNG.normal(size=N)],
        [["a", "b", "c"][k % 3] for k in range(N)],  # too few values to split by
        [["low", "high"][label] for label in LABELS],
        [f"class {10 * label + k % 10}" for k, label in enumerate(LABELS)],  # kinds of one class
        [""] * N,
    ],
)
def test_columns_that_are_no_questions(column: Any) -> None:
    assert asked(thing=column) == []


def test_the_name_of_a_group_is_a_question_even_if_it_determines_the_label() -> None:
    tracks = [f"{label}-{k // 50}" for k, label in enumerate(LABELS)]
    assert asked(track=tracks) == ["track"]


def test_names_of_files_are_asked_about_unless_they_are_the_classes() -> None:
    trips = np.array([f"trip {k // 50}" for k in range(N)])
    classes = np.array([f"class {10 * label + k % 10}" for k, label in enumerate(LABELS)])
    assert [q.column for q in group_questions({}, LABELS, {"folder": trips})] == ["folder"]
    assert group_questions({}, LABELS, {"folder": classes}) == ()
    assert [q.column for q in group_questions({"folder": classes}, LABELS, {"folder": trips})] == ["folder"]


def test_the_size_of_an_image_is_no_question() -> None:
    assert asked(width=RNG.integers(200, 260, N), Height=RNG.integers(200, 260, N)) == []


def test_the_likeliest_come_first_and_equal_partitions_once() -> None:
    shuffled = RNG.permutation(np.repeat(np.arange(40), N // 40))
    runs = np.repeat([f"r{k}" for k in range(100)], N // 100)
    assert asked(
        number=shuffled, run=runs, place=[f"p{k}" for k in shuffled], drive=shuffled + 7, copy=runs
    ) == [
        "run",
        "number",
    ]
    assert asked(number=shuffled, run=runs, trip_id=np.arange(N) // 4) == ["trip_id", "run", "number"]


def test_pairs_of_before_and_after_are_told() -> None:
    places = np.repeat([f"place {k}" for k in range(N // 2)], 2)
    (paired,) = group_questions({"place": places}, np.tile([0, 1], N // 2))
    assert paired.matched
    assert "most values of place hold each class equally often" in (pairs_sentence([paired]) or "")
    (mixed,) = group_questions({"place": places}, LABELS)
    assert not mixed.matched
    assert pairs_sentence([mixed]) is None


def test_without_labels_the_question_stays() -> None:
    owners = np.repeat([f"o{k}" for k in range(400)], 5)
    assert [q.column for q in group_questions({"owner": owners}, np.full(N, -1))] == ["owner"]
