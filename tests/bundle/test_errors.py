"""Errors of the bundle that callers may catch by a built-in base."""

from __future__ import annotations

import pytest

from bundle.engines.contract import EngineError
from bundle.engines.onnx_scan import ModelRefused
from bundle.engines.outputs import OutputUnfit
from bundle.images import errors as image_errors
from bundle.system.subprocess_call import SubprocessLost


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
