"""`demur experiment power`, `self-test` and `report` on logs as a service leaves them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.command_line import Demur
from fakes.experiment_log import LoggedExperiment


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ramp of a challenger that is better."""
    folder = tmp_path_factory.mktemp("ramp")
    LoggedExperiment().write(folder)
    return folder


def test_a_report_says_the_conclusion_first(demur: Demur, ramp: Path, tmp_path: Path) -> None:
    ended = demur("experiment", "report", "--data-dir", ramp, "--out", tmp_path)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("signs:2 is better than signs:1 in accuracy by +0.")
    page = (tmp_path / "report.md").read_text()
    assert page.splitlines()[2].startswith("**signs:2 is better than signs:1 in accuracy")
    for part in ("anytime-valid", "fixed horizon", "## Sample ratio", "As designed.", "are comparable"):
        assert part in page
    assert "| 2 | 2026-06-09 08:00 UTC | signs:2 50 % | Ada | step 3 |" in page
    for name in ("differences.png", "course.png", "units.png"):
        assert f"({name})" in page
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_the_same_as_values(demur: Demur, ramp: Path, tmp_path: Path) -> None:
    ended = demur("experiment", "report", "ramp", "--data-dir", ramp, "--out", tmp_path, "--json")
    values = json.loads(ended.out)
    (arm,) = values["arms"]
    assert (values["experiment"], values["blocked"], arm["conclusion"]) == ("ramp", False, "better")
    assert [one["metric"] for one in arm["anytime"]] == ["accuracy", "risk", "coverage", "mcc", "reward"]
    assert {one["mode"] for one in arm["fixed"]} == {"fixed"}
    assert {one["strata"] for one in arm["anytime"]} == {3}
    assert sum(values["sample_ratio"]["units"].values()) == 1200


def test_units_that_are_lost_block_every_conclusion(demur: Demur, tmp_path: Path) -> None:
    LoggedExperiment(units=4000, requests=1, lost=0.3).write(tmp_path)
    ended = demur("experiment", "report", "--data-dir", tmp_path, "--out", tmp_path / "out")
    assert ended.out.startswith("No conclusion on signs:2: the arms do not have the designed shares")
    page = (tmp_path / "out" / "report.md").read_text()
    assert "Mismatch: no conclusion is allowed" in page.replace("*", "")
    assert "**better**" not in page
    assert "More units help nothing before the cause of the mismatch is found" in page


def test_labels_that_differ_are_not_comparable(demur: Demur, tmp_path: Path) -> None:
    LoggedExperiment(requests=2, labelled=(0.6, 0.3)).write(tmp_path)
    demur("experiment", "report", "--data-dir", tmp_path, "--out", tmp_path / "out")
    page = (tmp_path / "out" / "report.md").read_text()
    assert "Labels of signs:2 are not comparable" in page
    assert "labels of the arms are not comparable |" in page


def test_a_shadow_is_reported_by_its_pairs(demur: Demur, tmp_path: Path) -> None:
    LoggedExperiment(shadowed=True, requests=1).write(tmp_path)
    ended = demur("experiment", "report", "--data-dir", tmp_path, "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert "As a shadow signs:2 has decided" in ended.out
    assert "exact McNemar test by unit" in ended.out


def test_power_speaks_in_days_of_the_log(demur: Demur, ramp: Path) -> None:
    ended = demur("experiment", "power", "--data-dir", ramp, "--difference", "0.05", "--json")
    values = json.loads(ended.out)
    assert values["units_per_day"] == pytest.approx(100.0, rel=0.05)
    assert 0.0 < values["fixed"]["days"] < values["anytime"]["days"]
    words = demur("experiment", "power", "--data-dir", ramp, "--metric", "mcc").out
    assert "read once, at the end" in words
    assert "1,200 units and 3,600 requests" in words


def test_power_needs_no_log_if_the_traffic_is_named(demur: Demur, tmp_path: Path) -> None:
    asked = ("experiment", "power", "--data-dir", tmp_path, "--per-day", "1000", "--rate", "0.88", "--json")
    values = json.loads(demur(*asked, "--difference", "0.06").out)
    assert values["fixed"]["units"] == pytest.approx(1233, rel=0.01)
    assert values["fixed"]["days"] == pytest.approx(1.233, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "way_out"),
    [
        (("--difference", "0", "--per-day", "1", "--rate", ".9"), "difference is 0.0; it must be positive"),
        (("--share", "1", "--per-day", "1", "--rate", ".9"), "share is 1.0"),
        (("--rate", ".9"), "--rate needs --per-day"),
        (("--per-day", "nan", "--rate", ".9"), "--per-day is nan"),
        (("--per-day", "5", "--rate", "1.5"), "--rate is 1.5"),
        (("--per-day", "5", "--rate", ".5", "--labelled", "0"), "--labelled is 0.0"),
        (("--metric", "mcc", "--per-day", "5", "--rate", ".5"), "let the event log say it"),
        ((), "name the data folder of the service with --data-dir"),
    ],
)
def test_power_says_the_way_out(
    demur: Demur, tmp_path: Path, arguments: tuple[str, ...], way_out: str
) -> None:
    ended = demur("experiment", "power", "--data-dir", tmp_path, *arguments)
    assert ended.code == 2
    assert way_out in ended.err
    assert "Traceback" not in ended.err


def test_the_self_test_deals_the_units_of_an_ordinary_log(demur: Demur, tmp_path: Path) -> None:
    LoggedExperiment(units=300, requests=2, named=False).write(tmp_path)
    asked = ("experiment", "self-test", "--data-dir", tmp_path, "--deals", "10", "--looks", "4")
    ended = demur(*asked)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("passed: ")
    assert "10 deals of 300 units and 600 requests, each read 4 times." in ended.out
    values = json.loads(demur(*asked, "--json").out)
    assert values["passed"] is True
    assert values["sample_ratio"]["allowed"] == 0.001


def test_too_few_units_are_no_pass(demur: Demur, tmp_path: Path) -> None:
    LoggedExperiment(units=50, named=False).write(tmp_path)
    ended = demur("experiment", "self-test", "--data-dir", tmp_path)
    assert ended.code == 2
    assert "the event log holds 50 units, and 100 are needed" in ended.err


def test_an_unknown_experiment_is_named_with_the_known_ones(demur: Demur, ramp: Path, tmp_path: Path) -> None:
    ended = demur("experiment", "report", "other", "--data-dir", ramp, "--out", tmp_path)
    assert ended.code == 2
    assert "there is no experiment 'other'" in ended.err
    assert "there are ramp" in ended.err
    assert "no experiment has been started" in demur("experiment", "report", "--data-dir", tmp_path).err
