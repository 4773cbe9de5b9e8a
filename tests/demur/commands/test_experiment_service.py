"""`demur experiment start` and its neighbours: a faulty command line is refused before anything is sent."""

from __future__ import annotations

import pytest
from fakes.command_line import Demur

from demur.commands.experiment_service import MalformedArm, NewExperiment, share_of, status_lines

TOKEN = "a-token-of-the-tests-0123456789"


def test_the_body_of_a_start() -> None:
    asked = NewExperiment(
        *("ramp", "Ada", "a try", ["two=0.1", "b=c=shadow"], ["risk"], ["risk=off", "coverage=0.05"]),
        slow=2.0,
    )
    assert asked.body() == {
        "name": "ramp",
        "by": "Ada",
        "reason": "a try",
        "arms": {"two": 0.1, "b=c": "shadow"},
        "on_mismatch": "hold",
        "metrics": ["risk"],
        "guardrails": {"risk": None, "coverage": 0.05, "slow": 2.0},
    }


def test_every_fault_is_said_at_once() -> None:
    asked = NewExperiment("ramp", "Ada", "a try", ["two", "=0.1", "three=inf"], (), ["speed=1"])
    with pytest.raises(MalformedArm) as refused:
        asked.body()
    for part in ("--arm is 'two'", "--arm is '=0.1'", "--arm is 'three=inf'", "--guardrail is 'speed'"):
        assert part in str(refused.value)


def test_shares() -> None:
    assert (share_of("0.25"), share_of("Shadow")) == (0.25, "shadow")
    with pytest.raises(MalformedArm, match="above 0 and at most 1, or shadow"):
        share_of("much")


def test_nothing_runs() -> None:
    ended = {"at": 0.0, "by": "Ada", "reason": "enough"}
    assert list(status_lines([{"name": "old", "running": False, "ended": ended}])) == [
        "No experiment runs.",
        "old  ended 1970-01-01 00:00 UTC by Ada: enough",
    ]


def test_a_shadow_in_a_fleet() -> None:
    note = {"at": 0.0, "by": "Ada", "reason": "a try"}
    alike = {"units": 200, "requests": 4000, "agreement": 0.97, "low": 0.95, "high": 0.985}
    running = {
        "name": "ramp",
        "running": True,
        "started": note,
        "mismatch": None,
        "control": {"label": "one:1"},
        "strata": [{"shares": {}, "shadows": ["two:1", "three:1"]}],
        "withdrawals": [],
        "view": {"services": 3, "shadows": {"two:1": alike, "three:1": {**alike, "agreement": None}}},
    }
    lines = list(status_lines([running]))
    assert lines[1] == "  stratum 0, counted by 3 services"
    assert lines[3:] == [
        "  two:1  shadow, decides as the control in 97.0 % (95.0 to 98.5) of 4,000 requests of 200 units",
        "  three:1  shadow",
    ]


def test_a_port_that_does_not_answer(demur: Demur, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEMUR_ADMIN_TOKEN", raising=False)
    assert "DEMUR_ADMIN_TOKEN" in demur("experiment", "status", "--url", "http://127.0.0.1:1").err
    monkeypatch.setenv("DEMUR_ADMIN_TOKEN", TOKEN)
    ended = demur("experiment", "stop", "ramp", "--reason", "x", "--url", "http://127.0.0.1:1")
    assert ended.code == 2
    assert "cannot be reached" in ended.err
    assert "Traceback" not in ended.err
