"""The error tree: one root for the project, one for calibration, ValueError as a second base."""

from __future__ import annotations

import inspect

import pytest

from calibration import errors
from calibration.errors import CalibrationError, DemurError


def test_every_error_of_calibration_derives_from_its_root() -> None:
    classes = [cls for _, cls in inspect.getmembers(errors, inspect.isclass)]
    assert len(classes) == 5
    for cls in classes:
        assert issubclass(cls, DemurError)
        assert cls is DemurError or issubclass(cls, CalibrationError)


@pytest.mark.parametrize("cls", [errors.LedgerError, errors.DeltaExhausted, errors.ScrcError])
def test_errors_that_callers_catch_as_value_error_still_are(cls: type[DemurError]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        raise cls("out of range")
