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


def test_a_port_that_does_not_answer(demur: Demur, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEMUR_ADMIN_TOKEN", raising=False)
    assert "DEMUR_ADMIN_TOKEN" in demur("experiment", "status", "--url", "http://127.0.0.1:1").err
    monkeypatch.setenv("DEMUR_ADMIN_TOKEN", TOKEN)
    ended = demur("experiment", "stop", "ramp", "--reason", "x", "--url", "http://127.0.0.1:1")
    assert ended.code == 2
    assert "cannot be reached" in ended.err
    assert "Traceback" not in ended.err
