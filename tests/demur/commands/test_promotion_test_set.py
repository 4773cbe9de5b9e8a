"""The test set that a plan names, opened as training opens its data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from calibration.errors import DemurError
from demur.commands.promotion_test_set import open_test_set
from deploy.gates.plan import RegressionGate


def test_a_folder_of_classes_is_a_test_set(tmp_path: Path, make_colour_image: Callable[..., bytes]) -> None:
    for label, name in enumerate(("blue", "red")):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.jpg").write_bytes(make_colour_image(label, 0.9, number))
    images = open_test_set(RegressionGate(test_set=f"folder:{tmp_path}"))
    assert images.class_names == ("blue", "red")
    assert sorted(images.labels) == [0, 0, 0, 1, 1, 1]
    assert images.read(0) == (tmp_path / images.paths[0]).read_bytes()


@pytest.mark.parametrize("source", ["folder:/nowhere/at/all", "nonsense:1", "\0"])
def test_a_source_that_is_none_is_said_in_one_sentence(source: str) -> None:
    with pytest.raises(DemurError) as refused:
        open_test_set(RegressionGate(test_set=source))
    assert str(refused.value)
