"""The error tree of the bundle: one root, drawn in full, with ValueError and RuntimeError kept."""

from __future__ import annotations

import pytest
from fakes.error_classes import error_classes

import bundle
from bundle import errors
from bundle.engines.contract import EngineError
from bundle.engines.onnx_scan import ModelRefused
from bundle.engines.outputs import OutputUnfit
from bundle.images import errors as image_errors
from bundle.system.subprocess_call import SubprocessLost
from calibration.errors import DemurError


def test_every_error_hangs_below_the_root_and_is_drawn() -> None:
    drawn = (errors.__doc__ or "") + (image_errors.__doc__ or "")
    for cls in error_classes(bundle):
        assert issubclass(cls, errors.BundlePackageError)
        assert cls.__name__ in drawn
    assert issubclass(errors.BundlePackageError, DemurError)


@pytest.mark.parametrize(
    ("cls", "base"),
    [
        (image_errors.ImageError, ValueError),
        (ModelRefused, ValueError),
        (OutputUnfit, ValueError),
        (EngineError, RuntimeError),
        (SubprocessLost, RuntimeError),
    ],
)
def test_errors_keep_the_built_in_base_that_callers_catch(cls: type[Exception], base: type) -> None:
    assert issubclass(cls, base)
