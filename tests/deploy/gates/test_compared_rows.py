"""Rows of a test set that can be compared, and what is said of a set that has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.labelled_images import ColouredImages

from bundle.verify import read_manifest
from deploy.errors import GateUndecided
from deploy.gates.compared_rows import SeenImages, compared_rows


def test_labels_are_matched_by_name_in_whatever_order_the_set_has_them() -> None:
    rows = compared_rows(ColouredImages(class_names=("red", "blue")), ("blue", "red"))
    assert rows.labels.tolist() == [1, 0] * 30


def test_numbers_stand_for_the_classes_of_the_bundle() -> None:
    rows = compared_rows(ColouredImages(class_names=("0", "1")), ("blue", "red"))
    assert rows.labels.tolist() == [0, 1] * 30


def test_of_a_group_one_image_is_compared() -> None:
    images = ColouredImages(count=60, grouped=6)
    rows = compared_rows(images, ("blue", "red"))
    assert len(rows.rows) == 10
    assert sorted(rows.rows // 6) == list(range(10))
    assert rows.rows.tolist() == compared_rows(images, ("blue", "red")).rows.tolist()
    assert any("one each" in note for note in rows.notes)


def test_images_without_a_label_are_left_aside_and_said() -> None:
    rows = compared_rows(ColouredImages(unlabelled=7), ("blue", "red"))
    assert len(rows.rows) == 53
    assert rows.notes == ("7 images have no label",)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (ColouredImages(count=0), "holds no image"),
        (ColouredImages(class_names=()), "has no labels"),
        (ColouredImages(unlabelled=60), "without a label"),
        (ColouredImages(labels_given=[1] * 60), "are of class 'red'"),
        (ColouredImages(class_names=("cat", "dog")), "'cat', 'dog'"),
        (ColouredImages(class_names=("blue", "red", "black")), "'black'"),
    ],
)
def test_a_set_that_cannot_be_compared_says_why(images: ColouredImages, says: str) -> None:
    with pytest.raises(GateUndecided, match=says):
        compared_rows(images, ("blue", "red"))


def test_images_that_a_bundle_was_calibrated_on_are_refused(tiny_bundle: Path) -> None:
    manifest = read_manifest(tiny_bundle)
    carried = {"calibration/images/000001.jpg": manifest.files[manifest.golden[0].file]}
    seen = SeenImages.of("the newcomer", manifest.model_copy(update={"files": carried}))
    image = (tiny_bundle / manifest.golden[0].file).read_bytes()
    with pytest.raises(GateUndecided, match=r"7\.jpg .* calibration images of the newcomer"):
        seen.require_unseen(image, "7.jpg")
    seen.require_unseen(image + b"\0", "8.jpg")
    SeenImages.of("the newcomer", manifest).require_unseen(image, "golden.jpg")


def test_the_data_that_a_bundle_was_made_of_is_no_test_set() -> None:
    seen = SeenImages("the champion", {}, "ab" * 32)
    seen.require_other_source("cd" * 32, "photos")
    with pytest.raises(GateUndecided, match="photos is the data that the champion was made of"):
        seen.require_other_source("ab" * 32, "photos")


def test_the_image_of_a_group_is_drawn_and_not_the_first() -> None:
    rows = compared_rows(ColouredImages(count=600, grouped=6), ("blue", "red"))
    assert len(np.unique(rows.rows % 6)) > 1
