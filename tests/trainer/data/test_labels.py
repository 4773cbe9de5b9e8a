"""Raw labels to classes 0..K-1, and the ones that fit no class."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.data.images import BadLabels, Column
from trainer.data.labels import as_text, in_class_order, numbers_or_texts, read_labels


@pytest.mark.parametrize(
    ("column", "indices", "names"),
    [
        (np.array([0, 1, 1]), [0, 1, 1], ("0", "1")),
        (np.array([1, 1, 1]), [1, 1, 1], ("0", "1")),
        (np.array([0.0, 1.0, 1.0]), [0, 1, 1], ("0", "1")),
        (np.array(["1", "0", "1"]), [1, 0, 1], ("0", "1")),
        (np.array(["works", "clear", "works"]), [1, 0, 1], ("clear", "works")),
    ],
)
def test_labels_become_indices(column: Column, indices: list[int], names: tuple[str, ...]) -> None:
    labels = read_labels(column, name="label")
    assert labels.indices.tolist() == indices
    assert labels.class_names == names
    assert labels.faults == {}


def test_numbers_outside_the_classes_and_gaps_are_faults_of_their_rows() -> None:
    labels = read_labels(np.array([0, 2, -1, np.nan, 0.5, np.inf, 1]), name="label")
    assert labels.indices.tolist() == [0, -1, -1, -1, -1, -1, 1]
    assert labels.faults == {
        1: "label 2 is outside 0..1",
        2: "label -1 is outside 0..1",
        3: "the label is missing",
        4: "label 0.5 is outside 0..1",
        5: "label inf is outside 0..1",
    }


def test_more_classes_are_allowed_where_they_are_announced() -> None:
    assert read_labels(np.array([0, 2]), name="label", classes=3).indices.tolist() == [0, 2]
    named = read_labels(np.array([0, 2]), name="label", class_names=("a", "b", "c"))
    assert (named.indices.tolist(), named.class_names) == ([0, 2], ("a", "b", "c"))


def test_texts_outside_the_names_are_faults() -> None:
    labels = read_labels(np.array(["cat", "", "cow"]), name="label", class_names=("cat", "dog"))
    assert labels.indices.tolist() == [0, -1, -1]
    assert labels.faults == {1: "the label is missing", 2: "label 'cow' is none of cat, dog"}


def test_a_map_merges_classes_and_names_what_it_does_not_know() -> None:
    chosen = {"25": 1, "18": 0, "19": 0}
    labels = read_labels(np.array([25, 18, 19, 7]), name="class_id", label_map=chosen)
    assert labels.indices.tolist() == [1, 0, 0, -1]
    assert labels.class_names == ("18/19", "25")
    assert labels.faults == {3: "label '7' is not in the label map"}


def test_impossible_maps_and_identifiers_are_refused() -> None:
    with pytest.raises(BadLabels, match=r"sends labels to \[0, 2\]"):
        read_labels(np.array([0, 1]), name="label", label_map={"0": 0, "1": 2})
    with pytest.raises(BadLabels, match="2 classes and class_names 3"):
        read_labels(np.array([0]), name="label", label_map={"0": 0, "1": 1}, class_names=("a", "b", "c"))
    with pytest.raises(BadLabels, match="300 different texts, so it is no label"):
        read_labels(np.array([f"image {i}" for i in range(300)]), name="label")


def test_a_word_among_numbers_is_a_fault_and_no_class_of_its_own() -> None:
    labels = read_labels(np.array(["0", "1", "yes", "1", "", "0"]), name="label")
    assert labels.class_names == ("0", "1")
    assert labels.indices.tolist() == [0, 1, -1, 1, -1, 0]
    assert labels.faults == {
        2: "label 'yes' is no whole number, as the others are",
        4: "the label is missing",
    }
    # Mostly words: the numbers are names like any other.
    assert read_labels(np.array(["no", "yes", "no", "2"]), name="label").class_names == ("2", "no", "yes")


def test_numbers_as_names_are_in_numeric_order() -> None:
    names = [f"{number:02}" for number in range(0, 12, 2)] + ["100"]
    assert read_labels(np.array(names[::-1]), name="label").class_names == tuple(names)
    assert in_class_order(["10", "9", "-1"]) == ["-1", "9", "10"]
    assert in_class_order(["c10", "c9"]) == ["c10", "c9"]


def test_different_floats_have_different_texts() -> None:
    column = np.array([0.1, 0.1 + 2**-54, 7.0, 2.0**60, 2.0**60 + 256, np.nan])
    texts = as_text(column).tolist()
    assert len(set(texts)) == len(texts)
    assert (texts[0], texts[2], texts[5]) == ("0.1", "7", "")


def test_texts_that_are_numbers_count_as_numbers_in_statistics() -> None:
    np.testing.assert_array_equal(numbers_or_texts(np.array(["1.10", "", "1e3"])), [1.1, np.nan, 1000])
    for texts in (["001", "002"], ["a", "1"], ["", ""]):
        assert numbers_or_texts(np.array(texts)).tolist() == texts
