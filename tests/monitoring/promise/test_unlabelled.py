"""Audits that wait: the first one and their number, against a plain list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.promise.unlabelled import Unlabelled

_TIMES = st.dictionaries(st.integers(0, 99).map(str), st.floats(0.0, 500.0), max_size=30)


@given(_TIMES, st.sets(st.integers(0, 99).map(str)), st.integers(0, 400), st.floats(0.0, 600.0))
def test_those_that_wait(times: dict[str, float], labelled: set[str], dropped: int, since: float) -> None:
    unlabelled = Unlabelled()
    for request_id, at in times.items():
        unlabelled.add(request_id, at)
    for request_id in labelled & times.keys():
        unlabelled.remove(request_id, times[request_id])
    unlabelled.drop_before(dropped)
    rest = [at for one, at in times.items() if one not in labelled and at >= dropped]
    later = [at for at in rest if at >= since]
    assert unlabelled.first(since) == min(later, default=None)
    assert unlabelled.count(since) == len(later)
    assert unlabelled.first() == min(rest, default=None)


def test_one_that_does_not_wait_is_not_removed() -> None:
    unlabelled = Unlabelled()
    unlabelled.add("a", 3.0)
    unlabelled.remove("a", 3.0)
    with pytest.raises(KeyError):
        unlabelled.remove("a", 3.0)
