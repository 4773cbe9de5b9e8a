"""Figures of a window from its counts: by hand, for two classes and for more."""

from __future__ import annotations

import pytest

from calibration.metrics import mean_of_shares, wilson_interval
from monitoring.windows.figures import ClassFigures


def values(figures: ClassFigures) -> dict[str, float | None]:
    return {name: figure.value for name, figure in figures.by_name().items()}


def test_two_classes_by_hand() -> None:
    """Keys are (predicted, label): 6 true positives, 2 false ones, 3 false negatives, 9 true ones."""
    found = ClassFigures.of({(1, 1): 6, (1, 0): 2, (0, 1): 3, (0, 0): 9})
    assert values(found) == {
        "accuracy": 15 / 20,
        "mcc": pytest.approx((6 * 9 - 2 * 3) / (8 * 9 * 11 * 12) ** 0.5),
        "precision": 6 / 8,
        "recall": pytest.approx(6 / 9),
        "specificity": pytest.approx(9 / 11),
    }
    assert (found.precision.low, found.precision.high) == pytest.approx(wilson_interval(6, 8))
    assert (found.specificity.low, found.specificity.high) == pytest.approx(wilson_interval(9, 11))


def test_more_classes_are_averaged_over_those_that_have_a_share() -> None:
    """Three classes: labels of 0 and 1 alone, predictions of all three."""
    found = ClassFigures.of({(0, 0): 4, (1, 0): 1, (1, 1): 3, (2, 1): 2}, classes=3)
    assert found.recall.value == pytest.approx((4 / 5 + 3 / 5) / 2)
    assert found.precision.value == pytest.approx((4 / 4 + 3 / 4 + 0 / 2) / 3)
    # Against the rest: of the 5, 5 and 10 of other classes, 0, 1 and 2 were taken for this one.
    assert found.specificity.value == pytest.approx((5 / 5 + 4 / 5 + 8 / 10) / 3)
    assert (found.recall.value, found.recall.low, found.recall.high) == pytest.approx(
        mean_of_shares([4, 3], [5, 5])
    )


def test_a_bundle_of_three_classes_of_which_two_have_come_is_none_of_two() -> None:
    cells = {(1, 1): 3, (0, 0): 1, (1, 0): 2}
    assert ClassFigures.of(cells).precision.value == 3 / 5
    assert ClassFigures.of(cells, classes=3).precision.value == pytest.approx((1 / 1 + 3 / 5) / 2)


@pytest.mark.parametrize(
    ("cells", "classes", "reasons"),
    [
        ({}, 2, dict.fromkeys(("accuracy", "mcc", "precision", "recall", "specificity"), "no labelled")),
        ({(0, 0): 3}, 2, {"mcc": "every label", "precision": "no prediction", "recall": "no label"}),
        ({(1, 1): 3}, 2, {"mcc": "every label", "specificity": "every label in the window is 1"}),
        ({(0, 0): 3, (0, 1): 2}, 2, {"mcc": "every prediction", "precision": "no prediction"}),
        ({}, 5, dict.fromkeys(("accuracy", "mcc", "precision", "recall", "specificity"), "no labelled")),
        ({(4, 4): 1}, 5, {"mcc": "every label in the window is 4"}),
    ],
)
def test_every_zero_denominator_has_its_reason(
    cells: dict[tuple[int, int], int], classes: int, reasons: dict[str, str]
) -> None:
    for name, figure in ClassFigures.of(cells, classes).by_name().items():
        if name in reasons:
            assert figure.value == (0.0 if name == "mcc" else None)
            assert figure.reason is not None
            assert figure.reason.startswith(reasons[name])
            assert (figure.low, figure.high) == ((-1.0 if name == "mcc" else 0.0), 1.0)
        else:
            assert figure.reason is None
            assert figure.value is not None
