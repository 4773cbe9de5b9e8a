"""Class shares on the command line: what they mean, and what is refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.command_line import Demur

from calibration.certificate import ClassShares
from demur.commands.calibrate import PromiseChoice
from demur.commands.shares import parse_shares
from trainer.errors import RunError


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        (None, None),
        ("0.10:0.40", (0.1, 0.4)),
        (" 0 : 1 ", (0.0, 1.0)),
        ("0.3", (0.3, 0.3)),
        ("0.2:0.6,0.1:0.3,0.3", ((0.2, 0.6), (0.1, 0.3), (0.3, 0.3))),
    ],
)
def test_shares_are_read(text: str | None, shares: ClassShares | None) -> None:
    assert parse_shares(text) == shares


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.4:0.1", "'0.4:0.1' falls; write 0.1:0.4"),
        ("10:40", r"a share lies between them \(10 % is 0.10\)"),
        ("-0.1:0.4", "leaves 0 to 1"),
        ("nan:0.4", "leaves 0 to 1"),
        ("0.1:inf", "leaves 0 to 1"),
        ("0.1-0.4", "'0.1-0.4' is no interval"),
        ("0.1:0.2:0.3", "is no interval"),
        ("", "'' is no interval"),
        ("0.1:0.4,", "'' is no interval"),
        ("10 %:40 %", "is no interval"),
    ],
)
def test_what_is_no_interval_is_named(text: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        parse_shares(text)


def test_an_interval_is_a_promise_of_its_own() -> None:
    with pytest.raises(RunError, match="--each-answer and --prevalence are different promises"):
        PromiseChoice(each_answer=True, prevalence="0.1:0.4")
    with pytest.raises(RunError, match="--prevalence and --prevalence-from are different"):
        PromiseChoice(prevalence="0.1:0.4", prevalence_from="folder:x")
    changes = PromiseChoice(prevalence="0.1:0.4").changes()
    assert changes["prevalence"] == (0.1, 0.4)
    assert changes["unlabelled"] == {}
    # Another kind of promise takes the interval back.
    assert PromiseChoice(each_answer=True).changes()["prevalence"] == ()
    assert PromiseChoice(each_answer=False).changes()["prevalence"] == ()
    assert PromiseChoice().changes() == {}


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    label = (rng.random(4000) < 0.2).astype(int)
    probability = 1 / (1 + np.exp(-4 * ((2 * label - 1) * 2 + rng.standard_normal(4000))))
    path = tmp_path / "scores.csv"
    rows = [f"{y},{p:.9f}" for y, p in zip(label, probability, strict=True)]
    path.write_text("label,probability\n" + "\n".join(rows))
    return path


def test_a_table_is_certified_for_an_interval(demur: Demur, scores: Path, tmp_path: Path) -> None:
    out = tmp_path / "certificate.json"
    ended = demur("calibrate", "--scores", scores, "--prevalence", "0.1:0.3", "--out", out)
    assert ended.code == 0, ended.err
    assert "as long as between 10 % and 30 % of the images are label 1" in ended.out
    assert "  30 % label 1: " in ended.out
    assert "between 10 % and 30 %" in demur("inspect", out).out
    # The same again costs nothing; another interval is another certificate.
    assert demur("calibrate", "--scores", scores, "--prevalence", "0.1:0.3").code == 0
    refused = demur("calibrate", "--scores", scores, "--prevalence", "0.1:0.4")
    assert refused.code != 0
    assert "of 0.05 is left" in refused.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--prevalence", "0.4:0.1"), "falls"),
        (("--prevalence", "0.1:0.2,0.1:0.2,0.1:0.2"), "3 intervals for 2 classes"),
        (("--prevalence", "0.1:0.2,0.1:0.2"), "add up to 1"),
        (("--prevalence", "0.1:0.4", "--each-answer"), "different promises"),
        (("--prevalence", "0.1:0.4", "--certificate", "look-ahead"), "'look-ahead'"),
        (("--prevalence-from", "folder:x"), "so it is for RUN"),
    ],
)
def test_a_table_is_refused_before_anything_is_charged(
    demur: Demur, scores: Path, options: tuple[str, ...], message: str
) -> None:
    ended = demur("calibrate", "--scores", scores, *options)
    assert ended.code != 0
    assert message in ended.err
    assert not scores.with_name(f"{scores.name}.ledger.json").exists()
