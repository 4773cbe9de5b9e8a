"""Documents of another version: further fields are left out, a later format is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring.formats import FormatTooNew, known, require_format
from monitoring.promise.latch import Reset


def test_a_field_of_a_later_version_is_left_out() -> None:
    values = {"at": 1.0, "name": "Ada", "reason": "mended", "ticket": 7}
    assert Reset(**known(Reset, values)) == Reset(1.0, "Ada", "mended")


@pytest.mark.parametrize("values", [{}, {"format": 1}])
def test_the_first_format_need_not_be_stated(values: dict[str, Any]) -> None:
    require_format(values, "the latch")


@pytest.mark.parametrize("found", [2, "1", None])
def test_another_format_is_named(found: object) -> None:
    said = f"^the latch has format {found!r}, and this demur reads format 1: run the later version"
    with pytest.raises(FormatTooNew, match=said):
        require_format({"format": found}, "the latch")
