"""Gates that a plan asks for, and what the environment says of signatures and engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import GateUndecided
from deploy.gates.asked import gate_names, left_out
from deploy.gates.environment import engine_preference, signature_mode, signature_policy
from deploy.gates.plan import GATE_NAMES, GatesPlan


def plan(**values: Any) -> GatesPlan:
    return GatesPlan.model_validate(values)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGNATURES", "TRUSTED_KEYS", "ENGINE", "PRECISION"):
        monkeypatch.delenv(f"DEMUR_{name}", raising=False)


def test_by_default_a_newcomer_is_held_against_the_champion() -> None:
    compared = ("latency", "memory", "start")
    assert gate_names(plan(), first=False) == ("verification", "golden", "certificate", *compared)
    assert gate_names(plan(), first=True) == ("verification", "golden", "certificate")


def test_a_first_newcomer_is_held_against_budgets_and_its_promise() -> None:
    asked = gate_names(plan(regression={"test_set": "photos"}, speed={"p99": 100, "start": 9}), first=True)
    assert asked == ("verification", "golden", "certificate", "risk", "latency", "start")


def test_a_limit_that_is_taken_away_leaves_its_gate_out() -> None:
    (one,) = [
        one for one in left_out(plan(speed={"p99_ratio": "none"}), first=False) if one.gate == "latency"
    ]
    assert "gates.speed.p99" in one.why


@given(
    st.sets(st.sampled_from([gate for gate in GATE_NAMES if gate != "verification"])),
    st.booleans(),
    st.sampled_from([None, "photos"]),
    st.sampled_from(["off", "require", "settings"]),
)
def test_every_gate_is_asked_or_left_out_with_a_reason(
    out: set[str], first: bool, test_set: str | None, mode: str
) -> None:
    found = plan(leave_out=sorted(out), regression={"test_set": test_set}, signature={"mode": mode})
    absent = left_out(found, first=first)
    assert sorted([*gate_names(found, first=first), *(one.gate for one in absent)]) == sorted(GATE_NAMES)
    assert out <= {one.gate for one in absent}
    assert "verification" in gate_names(found, first=first)


@pytest.mark.parametrize(
    ("mode", "said", "asked"),
    [
        ("settings", "", "off"),
        ("settings", "Require", "require"),
        ("settings", "warn", "warn"),
        ("settings", "maybe", "require"),
        ("off", "require", "off"),
        ("require", "off", "require"),
    ],
)
def test_signatures_are_asked_for_as_plan_and_settings_say(mode: str, said: str, asked: str) -> None:
    assert signature_mode(plan(signature={"mode": mode}), {"DEMUR_SIGNATURES": said}) == asked


def test_keys_come_from_the_plan_or_from_the_settings() -> None:
    settings = {"DEMUR_TRUSTED_KEYS": "a.pem, b.pem,"}
    assert signature_policy(plan(), settings).keys == (Path("a.pem"), Path("b.pem"))
    own = plan(signature={"trusted_keys": ["c.pem"]})
    assert signature_policy(own, settings).keys == (Path("c.pem"),)
    with pytest.raises(GateUndecided, match="DEMUR_TRUSTED_KEYS"):
        signature_policy(plan(), {})


def test_the_engine_is_that_of_the_services() -> None:
    settings = {"DEMUR_ENGINE": "OpenVINO", "DEMUR_PRECISION": "int8"}
    asked = engine_preference(plan(), settings)
    assert (asked.engine, asked.precision) == ("openvino", "int8")
    assert engine_preference(plan(engine="onnxruntime-cpu"), settings).engine == "onnxruntime-cpu"
    assert engine_preference(plan(), {}).engine == "auto"
    with pytest.raises(GateUndecided, match="DEMUR_ENGINE is 'abacus'"):
        engine_preference(plan(), {"DEMUR_ENGINE": "abacus"})
