"""Plan of the offline gates: its defaults, its limits, and the way through JSON."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from deploy.gates.plan import GATE_NAMES, GatesPlan


def test_a_plan_is_the_same_after_its_way_through_the_registry() -> None:
    plan = GatesPlan.model_validate(
        {
            "engine": "openvino",
            "leave_out": ["latency"],
            "longest": "5m",
            "signature": {"mode": "require", "trusted_keys": ["public.pem"]},
            "regression": {"test_set": "folder:photos", "longest": "1h30m"},
            "speed": {"p99": 250, "p99_ratio": "none"},
        }
    )

    assert GatesPlan.model_validate(plan.model_dump(mode="json")) == plan
    assert plan.regression.longest == 5400.0
    assert plan.speed.p99_ratio is None


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"golden": True}, "golden"),
        ({"engine": "abacus"}, "engine"),
        ({"leave_out": ["luck"]}, "leave_out"),
        ({"longest": "0s"}, "longest"),
        ({"longest": "none"}, "longest"),
        ({"signature": {"mode": "warn"}}, "signature"),
        ({"certificate": {"coverage": 1.5}}, "certificate"),
        ({"certificate": {"alpha": 0.0}}, "certificate"),
        ({"regression": {"test_set": ""}}, "regression"),
        ({"regression": {"level": 0.0}}, "regression"),
        ({"regression": {"loss": float("nan")}}, "regression"),
        ({"speed": {"p99_ratio": 0.5}}, "speed"),
        ({"speed": {"memory": -1}}, "speed"),
    ],
)
def test_what_no_plan_may_say_is_refused_by_its_field(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        GatesPlan.model_validate(values)
    assert str(refused.value.errors()[0]["loc"][0]) == field


def test_every_gate_but_verification_can_be_left_out() -> None:
    others = [gate for gate in GATE_NAMES if gate != "verification"]
    assert GatesPlan.model_validate({"leave_out": others}).leave_out == tuple(others)
    with pytest.raises(ValidationError, match="verification"):
        GatesPlan.model_validate({"leave_out": ["verification"]})
