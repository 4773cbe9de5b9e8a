"""The error tree of monitoring: one root, drawn in full."""

from __future__ import annotations

from fakes.error_classes import error_classes

import monitoring
from calibration.errors import DemurError
from monitoring import errors
from monitoring.delivery.event_lines import UnreadableLine


def test_every_error_hangs_below_the_root_and_is_drawn() -> None:
    for cls in error_classes(monitoring):
        assert issubclass(cls, errors.MonitoringError)
        assert cls.__name__ in (errors.__doc__ or "")
    assert issubclass(errors.MonitoringError, DemurError)
    assert issubclass(UnreadableLine, ValueError)
