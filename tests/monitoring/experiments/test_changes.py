"""Changes of a definition: whatever sequence of them, the file holds it and no withdrawn arm returns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.experiments.changes import (
    Design,
    Entrant,
    ended,
    mismatched,
    running_of,
    started,
    with_share,
    withdrawn,
)
from monitoring.experiments.dealing import ChangeImpossible
from monitoring.experiments.definition import AUTOMATIC, MAX_STRATA, REQUEST, Arm, Definition, Note

CONTROL = Arm("one:1", "/bundles/one")
ARMS = tuple(Arm(f"{name}:1", f"/bundles/{name}") for name in ("two", "three", "four"))
BEGUN = Note(1.0, "Ada", "because")
LATER = Note(2.0, "Grace", "further")

_SHARES = st.one_of(st.none(), st.sampled_from((0.0, 0.1, 0.25, 0.5, 1.0)))
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("share"), st.sampled_from(ARMS), _SHARES),
        st.tuples(st.sampled_from((AUTOMATIC, REQUEST)), st.sampled_from(ARMS), st.none()),
    ),
    max_size=10,
)


def begun(*shares: float | None) -> Definition:
    entrants = [Entrant(arm, share) for arm, share in zip(ARMS, shares, strict=False)]
    return started(Design("ramp", "salt"), CONTROL, entrants, BEGUN, "/bundles/one")


def stepped(held: Definition, kind: str, arm: Arm, share: float | None) -> Definition:
    if kind == "share":
        return with_share(held, Entrant(arm, share), LATER)
    return withdrawn(held, [arm.label], LATER, "guardrail risk" if kind == AUTOMATIC else REQUEST)


@given(steps=_STEPS)
def test_each_change_can_be_read_back_and_deals_what_it_says(
    steps: list[tuple[str, Arm, float | None]],
) -> None:
    held = begun(0.1)
    for kind, arm, share in steps:
        gone = held.withdrawn(arm.label) is not None
        try:
            after = stepped(held, kind, arm, share)
        except ChangeImpossible:
            continue
        assert not (gone and kind == "share")
        assert Definition.from_values(after.to_values()) == after
        assert after.stratum == held.stratum + 1
        assert running_of(after).dealing.shares() == after.strata[-1].shares
        serving = {*after.strata[-1].shares, *after.strata[-1].shadows}
        assert (arm.label in serving) == (kind == "share" and share != 0.0)
        held = after


def test_a_shadow_gets_a_share_and_becomes_a_shadow_again() -> None:
    held = begun(None, 0.2)
    assert (held.strata[-1].shadows, held.strata[-1].shares) == (("two:1",), {"three:1": 0.2})
    held = with_share(held, Entrant(ARMS[0], 0.1), LATER)
    assert (held.strata[-1].shadows, held.strata[-1].shares) == ((), {"three:1": 0.2, "two:1": 0.1})
    held = with_share(held, Entrant(ARMS[0], None), LATER)
    assert (held.strata[-1].shadows, held.strata[-1].shares) == (("two:1",), {"three:1": 0.2})


def test_an_experiment_needs_a_challenger() -> None:
    with pytest.raises(ChangeImpossible, match="name one"):
        started(Design("ramp", "salt"), CONTROL, [], BEGUN, "/bundles/one")


def test_the_last_stratum_is_kept_for_a_withdrawal() -> None:
    held = begun(0.0)
    for number in range(MAX_STRATA - 1):
        held = with_share(held, Entrant(ARMS[0], 0.1 + 0.001 * number), LATER)
    with pytest.raises(ChangeImpossible, match="start another"):
        with_share(held, Entrant(ARMS[0], 0.5), LATER)
    assert withdrawn(held, ["two:1"], LATER).strata[-1].shares == {}


def test_the_first_mismatch_holds_and_the_end_is_noted() -> None:
    held = mismatched(mismatched(begun(0.1), BEGUN), LATER)
    assert held.mismatch == BEGUN
    assert held.running
    assert ended(held, LATER).ended == LATER
