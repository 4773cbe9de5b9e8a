"""The ledger of calibration splits: one delta a split, charged once for each certificate."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration import DeltaExhausted, Ledger, LedgerEntry, LedgerError


def test_a_charge_is_a_new_ledger_and_splits_do_not_share() -> None:
    empty = Ledger()
    charged = empty.charge("split a", "cascade on onnxruntime-cpu/fp32", 0.03)
    assert empty.left("split a") == 0.05
    assert charged.left("split a") == pytest.approx(0.02)
    assert charged.left("split b") == 0.05
    assert charged.entries("split a") == (LedgerEntry("cascade on onnxruntime-cpu/fp32", 0.03, "#1"),)


def test_the_split_refuses_what_it_cannot_pay_and_says_what_was_bought() -> None:
    ledger = Ledger().charge("s", "fp32", 0.025).charge("s", "int8", 0.025)
    assert ledger.left("s") == 0.0
    with pytest.raises(DeltaExhausted, match="fp32, int8") as caught:
        ledger.charge("s", "a third try", 0.001)
    assert "fresh calibration split" in str(caught.value)
    assert ledger.charge("other", "a third try", 0.05).left("other") == 0.0


@given(parts=st.integers(1, 50))
def test_equal_shares_use_delta_up_in_spite_of_rounding(parts: int) -> None:
    ledger = Ledger()
    for index in range(parts):
        ledger = ledger.charge("s", f"{index}", 0.05 / parts)
    assert ledger.left("s") == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(DeltaExhausted):
        ledger.charge("s", "more", 0.05 / parts)


def test_repeating_the_same_computation_is_free_and_changing_it_is_not() -> None:
    ledger = Ledger().charge("s", "cascade", 0.05, fingerprint="f")
    assert ledger.charge("s", "cascade", 0.05, fingerprint="f") is ledger
    for delta, fingerprint in ((0.05, "g"), (0.04, "f"), (0.05, None)):
        with pytest.raises(DeltaExhausted):
            ledger.charge("s", "cascade", delta, fingerprint=fingerprint)


def test_it_survives_json() -> None:
    ledger = Ledger(0.1).charge("a", "x", 0.05, "f").charge("a", "y", 0.01).charge("b", "z", 0.1)
    assert Ledger.from_dict(json.loads(json.dumps(ledger.to_dict()))) == ledger


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"budget": 0.05},
        {"budget": 0.05, "accounts": []},
        {"budget": 0.05, "accounts": {"a": [{"what": "x"}]}},
        {"budget": 2.0, "accounts": {}},
        {"budget": 0.05, "accounts": {"a": [{"what": "x", "delta": 0.06, "fingerprint": "f"}]}},
        {"budget": 0.05, "accounts": {"a": [{"what": "x", "delta": -0.06, "fingerprint": "f"}]}},
        {"budget": 0.05, "accounts": {"a": [{"what": "x", "delta": "nan", "fingerprint": "f"}]}},
    ],
)
def test_a_damaged_or_overdrawn_ledger_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(LedgerError):
        Ledger.from_dict(values)


@pytest.mark.parametrize(("digest", "delta"), [("", 0.01), ("s", 0.0), ("s", 1.0), ("s", float("nan"))])
def test_nonsense_charges_are_refused(digest: str, delta: float) -> None:
    with pytest.raises(LedgerError):
        Ledger().charge(digest, "x", delta)


def test_its_accounts_cannot_be_changed_in_place() -> None:
    ledger = Ledger().charge("s", "x", 0.01)
    with pytest.raises(TypeError):
        ledger.accounts["s"] = ()
