"""The comparison of a certified cascade with servers of stage B alone: options, factors and claims."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from fakes.tiny_bundle import colour_image, write_tiny_bundle
from harness.certified_cascade import PART, ServedRun, _shares, claims, compare
from harness.figures import Measured, Subject
from harness.plain import LAST_STAGE, SERVES, LastStage, PlainCascade, served_by_a_peer


def test_a_folder_may_carry_the_factor_that_is_aimed_at(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "run" / "bundle")
    assert ServedRun.parse(f"{bundle}=1.4") == ServedRun(bundle, 1.4)
    assert ServedRun.parse(str(bundle)) == ServedRun(bundle, None)
    assert ServedRun.parse(str(bundle)).name == "tiny-coloured noise"
    for wrong in (f"{bundle}=much", str(tmp_path)):
        with pytest.raises(argparse.ArgumentTypeError):
            ServedRun.parse(wrong)


def test_the_factor_is_against_the_best_server_of_the_same_run() -> None:
    measured = Measured()
    for rates in ({"demur": 300.0, "x": 100.0, "y": 150.0}, {"demur": 200.0, "x": 100.0, "y": 50.0}):
        for server, rate in rates.items():
            subject = Subject(PART, "signs", server, 32)
            measured.add(subject, rate=rate, server_cpu=1e3 / rate)
    compare(measured, "signs", ["x", "y"])
    assert measured.runs(Subject(PART, "signs", "demur", 32), "rate_ahead") == [2.0, 2.0]
    rate, cpu = claims(measured, "signs", 3.0)
    assert (rate.target, rate.met) == ("at least 3", False)
    assert (cpu.target, cpu.met) == ("", None)
    assert claims(measured, "signs", 1.5)[0].met


def test_the_share_of_stage_b_is_of_the_measured_time_alone() -> None:
    before = {("A", "answer"): 10.0, ("B", "answer"): 5.0}
    after = {("A", "answer"): 16.0, ("B", "answer"): 7.0, ("B", "abstain"): 2.0}
    assert _shares(before, after) == {"left_to_b": 0.4, "answered": 0.8}


def test_a_peer_serves_the_last_stage_alone_if_its_environment_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_BUNDLE", str(write_tiny_bundle(tmp_path / "bundle")))
    assert isinstance(served_by_a_peer(), PlainCascade)
    assert served_by_a_peer().answer(colour_image(1, 0.9)).stage == "A"
    monkeypatch.setenv(SERVES, LAST_STAGE)
    model = served_by_a_peer()
    assert isinstance(model, LastStage)
    answers = [model.answer(colour_image(label, 0.9)) for label in (0, 1)]
    assert [(answer.label, answer.stage) for answer in answers] == [(0, "B"), (1, "B")]
