"""Accounts of the calibration splits that a user has read, in whichever folder."""

from __future__ import annotations

import pytest

from calibration.errors import DeltaExhausted, LedgerError
from calibration.known_splits import KnownCertificate, KnownSplits, SplitIdentity

UNITS = [f"image {i}" for i in range(1000)]
SPLIT = SplitIdentity.of(UNITS)


def certificate(
    fingerprint: str,
    delta: float = 0.05,
    place: str = "/runs/a",
    at: str = "2026-01-01T00:00:00+00:00",
    model: str = "",
) -> KnownCertificate:
    return KnownCertificate(f"certificate {fingerprint}", delta, fingerprint, place, at, model=model)


ONE = KnownSplits().charge(SPLIT, [certificate("f")], 0.05)


def test_the_same_computation_is_free_in_another_place_and_another_one_is_refused() -> None:
    both = ONE.charge(SPLIT, [certificate("f", place="/runs/b")], 0.05)
    assert len(both.splits[SPLIT.digest].certificates) == 2
    assert both.spent(SPLIT) == 0.05
    with pytest.raises(DeltaExhausted, match=r"in /runs/a at 2026-01-01.*demur ledger show"):
        both.charge(SPLIT, [certificate("g", place="/runs/b")], 0.05)


def test_smaller_shares_fit_together_until_the_delta_is_spent() -> None:
    known = KnownSplits()
    for name in "abcde":
        known = known.charge(SPLIT, [certificate(name, 0.01, f"/runs/{name}")], 0.01)
    assert known.left(SPLIT) == pytest.approx(0.0)
    with pytest.raises(DeltaExhausted):
        known.charge(SPLIT, [certificate("f", 0.01)], 0.01)


@pytest.mark.parametrize(("shared", "shares"), [(11, True), (9, False)])
def test_splits_that_share_more_than_one_percent_share_the_account(shared: int, shares: bool) -> None:
    other = SplitIdentity.of([*UNITS[:shared], *(f"other {i}" for i in range(1000 - shared))])
    assert ONE.spent(other) == (0.05 if shares else 0.0)
    both = ONE.charge(other, [certificate("g")], 0.05)
    assert both.confidence(other) == pytest.approx(0.9 if shares else 0.95)
    with pytest.raises(DeltaExhausted, match="for this model"):
        both.charge(other, [certificate("h")], 0.05)


def test_another_model_has_a_delta_of_its_own_and_lowers_the_confidence_of_all() -> None:
    known = ONE
    for number in range(2, 12):
        known = known.charge(SPLIT, [certificate(f"f{number}", model=f"model {number}")], 0.05)
        assert known.confidence(SPLIT) == pytest.approx(1 - 0.05 * number)
        with pytest.raises(DeltaExhausted, match="for this model"):
            known.charge(SPLIT, [certificate("g", model=f"model {number}")], 0.05)
    assert known.left(SPLIT, "model 2") == 0.0
    assert known.left(SPLIT, "model 12") == 0.05


def test_a_union_bound_is_never_negative() -> None:
    known = KnownSplits()
    for number in range(30):
        known = known.charge(SPLIT, [certificate(f"{number}", model=f"{number}")], 0.05)
    assert known.confidence(SPLIT) == 0.0


def test_a_reading_without_delta_counts_as_a_certificate_and_spends_nothing() -> None:
    known = KnownSplits().charge(SPLIT, [certificate("scrc-t", 0.0)], 0.05)
    assert known.left(SPLIT) == 0.05
    assert len(known.charge(SPLIT, [certificate("f")], 0.05).certificates(SPLIT)) == 2


def test_a_withdrawn_certificate_stays_and_makes_room() -> None:
    gone = ONE.withdraw(SPLIT, ["f"], "2026-02-01T00:00:00+00:00")
    again = gone.charge(SPLIT, [certificate("g")], 0.05)
    assert [bool(one.withdrawn) for one in again.certificates(SPLIT)] == [True, False]


def test_a_merger_loses_no_entry_and_no_withdrawal() -> None:
    other = SplitIdentity.of(["x", "y"])
    theirs = ONE.withdraw(SPLIT, ["f"], "2026-02-01T00:00:00+00:00")
    theirs = theirs.charge(SPLIT, [certificate("g", place="/theirs")], 0.05)
    theirs = theirs.charge(other, [certificate("h", place="/theirs")], 0.05)
    merged = ONE.merged(theirs)
    assert merged == theirs
    assert theirs.merged(ONE) == theirs
    mine = ONE.charge(SPLIT, [certificate("m", 0.0)], 0.05)
    assert {one.fingerprint for one in mine.merged(theirs).certificates(SPLIT)} == {"f", "g", "m"}


def test_json_values_and_back() -> None:
    assert KnownSplits.from_dict(ONE.to_dict()) == ONE
    for faulty in ({"d": {}}, {"d": 3}, {SPLIT.digest: {**ONE.to_dict()[SPLIT.digest], "budget": 2.0}}):
        with pytest.raises(LedgerError, match="no accounts"):
            KnownSplits.from_dict(faulty)
    values = ONE.to_dict()
    values[SPLIT.digest]["certificates"][0]["delta"] = float("nan")
    with pytest.raises(LedgerError, match="delta is nan"):
        KnownSplits.from_dict(values)


class TestASplitOfSeveralDigests:
    """A split whose images an older version did not keep is known by its digest with labels too."""

    OLD = SplitIdentity.of([f"scores of image {i}" for i in range(1000)], "with labels")
    NEW = SplitIdentity.of(UNITS, "with labels")

    def test_it_has_one_account(self) -> None:
        known = KnownSplits().record(self.OLD, [certificate("f")], 0.05)
        assert known.spent(self.NEW) == 0.05
        assert known.spent(SPLIT) == 0.0
        with pytest.raises(DeltaExhausted):
            known.charge(self.NEW, [certificate("g")], 0.05)
        assert known.at_place(self.NEW, "/runs/a") == (certificate("f"),)

    def test_a_withdrawal_and_a_new_name_reach_every_digest(self) -> None:
        known = KnownSplits().record(self.OLD, [certificate("f")], 0.05)
        known = known.record(self.NEW, [certificate("f")], 0.05)
        assert known.withdraw(self.NEW, ["f"], "2026-02-01T00:00:00+00:00").spent(self.OLD) == 0.0
        assert not known.moved(self.NEW, "/runs/a", "elsewhere").at_place(self.OLD, "/runs/a")

    def test_it_is_kept_and_merged(self) -> None:
        known = KnownSplits().record(self.OLD, [certificate("f")], 0.05)
        assert KnownSplits.from_dict(known.to_dict()) == known
        assert ONE.merged(known.record(self.NEW, [], 0.05)).spent(self.OLD) == 0.05
        before = known.to_dict()
        for split in before.values():
            del split["aliases"]
        assert KnownSplits.from_dict(before).spent(self.OLD) == 0.05
