"""Certificates compared: a promise that is weaker in any respect fails, with the respect named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.tiny_bundle import tiny_draft

from bundle.engines.contract import DEFAULT_KEY, EngineKey
from bundle.writer import write_bundle
from calibration.certificate import LOOK_AHEAD_METHOD, Certificate, PromisedPart
from deploy.errors import GateUndecided
from deploy.gates.certificate import ask_certificate, compare_certificates, is_as_wide
from deploy.gates.outcome import GateResult
from deploy.gates.plan import CertificateGate
from deploy.gates.served import Served

CHAMPION = tiny_draft().certificates[0].certificate
PARTS = (PromisedPart("day", 1000, 800, 2), PromisedPart("night", 1000, 700, 2))


def weaknesses(ours: Certificate, theirs: Certificate = CHAMPION, tolerance: float = 0.05) -> list[str]:
    return [one.name for one in compare_certificates(ours, theirs, tolerance) if one.weaker is not None]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, []),
        ({"alpha": 0.02}, ["alpha"]),
        ({"alpha": 0.005}, []),
        ({"delta": 0.1}, ["delta"]),
        ({"delta": 0.01}, []),
        ({"kind": "expectation", "delta": None, "risk_upper_bound": None}, ["kind"]),
        ({"population": "random group, random frame"}, ["population"]),
        ({"population": "image, groups capped at 5"}, ["population"]),
        ({"coverage_lower_bound": 0.68}, []),
        ({"coverage_lower_bound": 0.66}, ["coverage"]),
        ({"coverage_lower_bound": float("nan")}, ["coverage"]),
        ({"doubt": "Frames may be near-copies."}, ["reservation"]),
        ({"method": LOOK_AHEAD_METHOD}, ["reservation"]),
        ({"each": "weather", "parts": PARTS}, []),
        ({"alpha": 0.02, "coverage_lower_bound": 0.1}, ["alpha", "coverage"]),
    ],
)
def test_each_respect_is_compared(change: dict[str, Any], named: list[str]) -> None:
    assert weaknesses(replace(CHAMPION, **change)) == named


def test_a_promise_with_a_confidence_covers_one_on_average() -> None:
    average = replace(CHAMPION, kind="expectation", delta=None, risk_upper_bound=None)
    assert weaknesses(CHAMPION, average) == []


def test_parts_are_compared_one_by_one() -> None:
    champion = replace(CHAMPION, each="weather", parts=PARTS)
    night = replace(PARTS[1], answered=600)
    assert weaknesses(champion, champion) == []
    assert weaknesses(CHAMPION, champion) == ["each"]
    assert weaknesses(replace(champion, each="city"), champion) == ["each"]
    assert weaknesses(replace(champion, parts=(PARTS[0],)), champion) == ["coverage of weather night"]
    assert weaknesses(replace(champion, parts=(PARTS[0], night)), champion) == ["coverage of weather night"]
    assert weaknesses(replace(champion, parts=(PARTS[0], night)), champion, tolerance=0.11) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "wide"),
    [
        ("image", "image", True),
        ("image", "image, groups capped at 5", True),
        ("image, groups capped at 9", "image, groups capped at 5", True),
        ("image, groups capped at 3", "image, groups capped at 5", False),
        ("image, groups capped at many", "image, groups capped at 5", False),
        ("image, groups capped at 5", "image", False),
        ("random group, random frame", "image", False),
    ],
)
def test_a_population_is_as_wide_as_another(ours: str, theirs: str, wide: bool) -> None:
    assert is_as_wide(ours, theirs) is wide


def served(folder: Path, role: str = "newcomer", key: EngineKey = DEFAULT_KEY, **options: Any) -> Served:
    draft = tiny_draft(**{name: value for name, value in options.items() if name != "certificate"})
    if "certificate" in options:
        (entry,) = draft.certificates
        certificate = replace(entry.certificate, **options["certificate"])
        draft = replace(draft, certificates=(entry.model_copy(update={"certificate": certificate}),))
    write_bundle(draft, folder)
    return Served(role, folder, key)


def asked(newcomer: Served, champion: Served | None = None, **gate: Any) -> GateResult:
    (result,) = ask_certificate(newcomer, champion, CertificateGate(**gate), say=lambda _: None)
    return result


def test_the_same_promise_passes_with_and_without_a_champion(tmp_path: Path) -> None:
    newcomer, champion = served(tmp_path / "new"), served(tmp_path / "old", "champion")
    assert asked(newcomer).outcome == asked(newcomer, champion).outcome == "passed"
    assert asked(newcomer, champion).details["compared"][0]["name"] == "alpha"


def test_no_promise_fails_even_where_the_champion_has_none(tmp_path: Path) -> None:
    newcomer, champion = served(tmp_path / "new", feasible=False), served(tmp_path / "old", "champion")
    assert asked(newcomer).outcome == "failed"
    assert "149 more" in asked(newcomer, champion).text
    # The other way round there is nothing to fall behind.
    assert asked(champion, newcomer).outcome == "passed"


def test_a_certificate_for_another_engine_is_none(tmp_path: Path) -> None:
    result = asked(served(tmp_path / "new", key=EngineKey("openvino", "int8")))
    assert result.outcome == "failed"
    assert "openvino/int8" in result.text
    assert "onnxruntime-cpu/fp32" in result.text


def test_a_weaker_promise_fails_with_its_reason(tmp_path: Path) -> None:
    newcomer = served(tmp_path / "new", certificate={"coverage_lower_bound": 0.6})
    result = asked(newcomer, served(tmp_path / "old", "champion"))
    assert result.outcome == "failed"
    assert "60.0 %" in result.text
    assert "72.0 %" in result.text


def test_the_plan_limits_a_first_promise(tmp_path: Path) -> None:
    newcomer = served(tmp_path / "new")
    assert asked(newcomer, alpha=0.005).outcome == asked(newcomer, delta=0.01).outcome == "failed"
    assert asked(newcomer, alpha=0.01, delta=0.05).outcome == "passed"


def test_other_classes_are_another_promise(tmp_path: Path) -> None:
    result = asked(served(tmp_path / "new", classes=3), served(tmp_path / "old", "champion"))
    assert result.outcome == "failed"
    assert "green" in result.text


def test_a_champion_that_cannot_be_opened_decides_nothing(tmp_path: Path) -> None:
    newcomer = served(tmp_path / "new")
    with pytest.raises(GateUndecided, match="the champion cannot be opened"):
        asked(newcomer, Served("champion", tmp_path, DEFAULT_KEY))
