from __future__ import annotations

from pathlib import Path

import pytest

from deploy.errors import PlanRefused
from deploy.promotion.plan import Plan
from deploy.promotion.plan_file import plan_from_record, plan_of, read_plan

EVERYTHING = """
prepare: {longest: 5m}
shadow: {units: 300, longest: 30m, agreement: 0.95, coverage: 0.05}
canary:
  - {share: 0.1, units: 100, longest: 1h}
  - {share: 0.5, units: 500, longest: 1h30m}
guardrails: {coverage: 0.05, risk: none, errors: 0.01, latency: 0.2, slow: 1.5}
approve: required
approval: {longest: 2d}
everything: {longest: 45s}
services: 3
lease: 10s
"""


def faults(text: str) -> str:
    with pytest.raises(PlanRefused) as refused:
        plan_of(text, "plan.yaml")
    return str(refused.value)


def test_an_empty_file_is_the_plan_of_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("")
    assert read_plan(file) == read_plan(None) == Plan()


def test_every_field_is_read() -> None:
    plan = plan_of(EVERYTHING, "plan.yaml")
    assert plan.shadow is not None
    assert (plan.prepare.longest, plan.shadow.units, plan.shadow.agreement) == (300.0, 300, 0.95)
    assert [(one.share, one.units, one.longest) for one in plan.canary] == [
        (0.1, 100, 3600.0),
        (0.5, 500, 5400.0),
    ]
    assert plan.guardrails.watched == ("coverage", "errors", "latency")
    assert (plan.approve, plan.services, plan.lease, plan.everything.longest) == ("required", 3, 10.0, 45.0)


def test_a_plan_survives_the_registry() -> None:
    plan = plan_of(EVERYTHING, "plan.yaml")
    assert plan_from_record(plan.to_values()) == plan
    assert plan_from_record(Plan().to_values()) == Plan()


def test_a_plan_of_another_version_is_refused_with_the_way_out() -> None:
    with pytest.raises(PlanRefused, match="demur rollback"):
        plan_from_record({**Plan().to_values(), "later": 1})


def test_a_fleet_that_reports_nothing_has_no_live_step_by_default() -> None:
    plan = plan_of("services: 0", "plan.yaml")
    assert plan.shadow is None
    assert plan.canary == ()
    assert "leave both out" in faults("services: 0\nshadow: {units: 5}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("canari: []", "line 1: canari: there is no such field; did you mean canary?"),
        ("gates: {signatur: 1}", "gates.signatur: there is no such field"),
        ("shadow: {unit: 5}", "line 1: shadow.unit: there is no such field; did you mean units?"),
        ("canary: [{share: 1.5, units: 5, longest: 1h}]", "canary[0].share: it is 1.5: "),
        ("canary: [{share: 0, units: 5, longest: 1h}]", "canary[0].share: it is 0: "),
        ("canary: [{share: .nan, units: 5, longest: 1h}]", "canary[0].share: it is nan: "),
        ("canary: [{share: true, units: 5, longest: 1h}]", "canary[0].share: it is True: "),
        ("canary: [{share: 0.1, units: 5}]", "canary[0].longest: it is missing"),
        ("canary: [{share: 0.1, longest: 1h}]", "canary[0].units: it is missing"),
        ("canary: [{share: 0.1, units: 5, longest: 0}]", "canary[0].longest: it is 0: "),
        ("canary: [{share: 0.1, units: 5, longest: never}]", "canary[0].longest: it is 'never': it must be"),
        ("canary: [{share: 0.1, units: 5, longest: .inf}]", "canary[0].longest: it is inf: it must be a dur"),
        ("canary: [{share: 0.1, units: 5, longest: 999d}]", "it must be at most 366d"),
        ("canary: [{share: 0.1, units: 0, longest: 1h}]", "canary[0].units: it is 0: "),
        ("canary: [{share: 0.1, units: 2.5, longest: 1h}]", "canary[0].units: it is 2.5: "),
        ("shadow: {longest: null}", "shadow.longest: it is None: it must be a duration"),
        ("shadow: yes please", "shadow: it must hold fields: units, longest, agreement, coverage"),
        ("canary: 5", "canary: it is 5: "),
        ("approve: maybe", "approve: it is 'maybe': "),
        ("services: -1", "services: it is -1: "),
        ("lease: 1s", "lease: it is '1s': "),
        ("guardrails: {risk: 2}", "guardrails.risk: it is 2: "),
        (
            "guardrails: {coverage: none, risk: none, errors: none, latency: none}",
            "nothing watches the canary",
        ),
        (
            "guardrails: {risk: none}\ncanary: [{share: 0.1, units: 5, longest: 1h, within: [risk]}]",
            "names risk",
        ),
        ("[1, 2]", "it must hold fields: gates, prepare, shadow"),
        ("hello", "it must hold fields"),
        ("a: [", "it is no YAML"),
        ("services: 1\nservices: 2", "line 2: services: it stands in line 1 already"),
    ],
)
def test_a_fault_says_its_line_its_field_and_the_way_out(text: str, said: str) -> None:
    assert said in faults(text)


def test_shares_that_do_not_rise_are_refused_with_both_values() -> None:
    first = "{share: 0.2, units: 5, longest: 1h}"
    for second in (0.2, 0.1):
        said = faults(f"canary:\n- {first}\n- {first.replace('0.2', str(second))}")
        assert f"canary[1].share is {second}; it must be above 0.2" in said


def test_all_faults_are_told_at_once() -> None:
    said = faults("approve: maybe\nservices: -1\nlease: soon")
    assert "3 faults" in said
    assert all(line in said for line in ("line 1: approve", "line 2: services", "line 3: lease"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanRefused, match=r"no\.yaml: the plan cannot be read: No such file"):
        read_plan(tmp_path / "no.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(PlanRefused, match="no UTF-8"):
        read_plan(tmp_path / "bytes.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * 2**21)
    with pytest.raises(PlanRefused, match="more than"):
        read_plan(tmp_path / "large.yaml")
