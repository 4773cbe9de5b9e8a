"""Infinite thresholds are written as null and read back as they were."""

from __future__ import annotations

import json
import math

import numpy as np

from calibration.encoding import decode_path, decode_threshold, encode_path, encode_threshold


def test_a_threshold_is_written_as_it_is_and_an_infinite_one_as_null() -> None:
    for threshold in (-1.5, 0.0, 2.25, math.inf):
        written = json.dumps(encode_threshold(threshold))
        assert decode_threshold(json.loads(written)) == threshold
    assert encode_threshold(math.inf) is None


def test_a_path_is_read_back_as_it_was_written() -> None:
    path = np.array([[math.inf, 2.0], [1.5, 1.0], [0.5, math.inf]])
    written = json.dumps(encode_path(path))
    assert "Infinity" not in written
    np.testing.assert_array_equal(decode_path(json.loads(written)), path)
