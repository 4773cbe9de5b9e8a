"""Certificates of a table of scores, as the command line prints them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fakes.command_line import Demur

from calibration import read_certificates
from calibration.errors import DeltaExhausted
from demur.commands.calibrate import PromiseChoice, certify_table
from trainer.errors import RunError
from trainer.scoring.score_file import ScoreFileColumns, ScoreFileError


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 4000)
    probability = 1 / (1 + np.exp(-4 * ((2 * label - 1) * 2 + rng.standard_normal(4000))))
    rows = [
        f"{y},{p:.9f},{'night' if i % 3 else 'day'}"
        for i, (y, p) in enumerate(zip(label, probability, strict=True))
    ]
    path = tmp_path / "scores.csv"
    path.write_text("label,probability,light\n" + "\n".join(rows))
    return path


def certified_afresh(path: Path, choice: PromiseChoice) -> list[str]:
    """Lines of a certificate whose ledger is empty."""
    path.with_name(f"{path.name}.ledger.json").unlink(missing_ok=True)
    return list(certify_table(path, {}, ScoreFileColumns(), choice).lines())


def test_a_certificate_names_its_threshold(scores: Path) -> None:
    lines = certified_afresh(scores, PromiseChoice())
    assert lines[0].startswith("With 95 % confidence, at most 1 %")
    assert "Answer where the confidence is at least" in lines[1]


@pytest.mark.parametrize(
    ("choice", "parts"),
    [
        (PromiseChoice(each_answer=True), ("  0: ", "  1: ")),
        (PromiseChoice(slices="light"), ("  day: ", "  night: ")),
    ],
)
def test_each_part_is_listed_with_its_price(
    scores: Path, choice: PromiseChoice, parts: tuple[str, ...]
) -> None:
    lines = certified_afresh(scores, choice)
    for part in parts:
        assert any(line.startswith(part) for line in lines), part
    price = next(line for line in lines if line.startswith("Price: "))
    assert float(price.split()[1]) >= 0.0


def test_several_risks_are_listed_in_the_order_given(scores: Path) -> None:
    lines = [
        line
        for line in certified_afresh(scores, PromiseChoice(alphas="0.02,0.01"))
        if line.startswith("  at ")
    ]
    assert [line.split(":")[0] for line in lines] == ["  at 2 %", "  at 1 %"]
    covered = [float(line.split(":")[1].split("%")[0]) for line in lines]
    assert covered[0] >= covered[1]


def test_a_second_kind_of_promise_on_the_same_labels_is_refused(scores: Path) -> None:
    certified_afresh(scores, PromiseChoice(each_answer=True))
    with pytest.raises(DeltaExhausted):
        certify_table(scores, {}, ScoreFileColumns(), PromiseChoice(slices="light"))


def test_shares_of_one_delta_fit_one_table(scores: Path) -> None:
    """As README says: two certificates at half of delta each, and no third."""
    share = {"delta": 0.025}
    certify_table(scores, share, ScoreFileColumns(), PromiseChoice())
    second = certify_table(scores, share, ScoreFileColumns(), PromiseChoice(each_answer=True))
    assert second.known == "Certificate 2 of this calibration split known here; all 2 share delta 0.05"
    with pytest.raises(DeltaExhausted):
        certify_table(scores, share, ScoreFileColumns(), PromiseChoice(slices="light"))


@pytest.mark.parametrize("alphas", ["0", "1.5", "a", "0.01,", "0.01,0.01"])
def test_impossible_risks_are_refused_before_anything_is_charged(scores: Path, alphas: str) -> None:
    with pytest.raises(RunError, match="--alphas"):
        certified_afresh(scores, PromiseChoice(alphas=alphas))
    assert not scores.with_name(f"{scores.name}.ledger.json").exists()


def test_two_kinds_of_promise_at_once_are_refused() -> None:
    with pytest.raises(RunError, match="choose one"):
        PromiseChoice(each_answer=True, alphas="0.01")


def test_a_mistyped_column_costs_nothing(scores: Path) -> None:
    with pytest.raises(ScoreFileError, match="no column 'lihgt'"):
        certified_afresh(scores, PromiseChoice(slices="lihgt"))
    assert not scores.with_name(f"{scores.name}.ledger.json").exists()


class TestCertificateFile:
    @pytest.mark.parametrize(
        ("options", "count"), [((), 1), (("--alphas", "0.02,0.01"), 2), (("--each-answer",), 1)]
    )
    def test_it_is_shown_and_read_again(
        self, options: tuple[str, ...], count: int, scores: Path, demur: Demur, tmp_path: Path
    ) -> None:
        out = tmp_path / "new" / "certificate.json"
        ended = demur("calibrate", "--scores", scores, "--out", out, *options)
        assert (ended.code, f"certificate: {out}" in ended.out) == (0, True), ended.err
        certificates = read_certificates(out.read_bytes())
        assert len(certificates) == count
        shown = demur("inspect", out).out
        for certificate in certificates:
            assert certificate.sentence() in shown
        values = json.loads(demur("inspect", out, "--json").out)["certificates"]
        assert [value["sentence"] for value in values] == [one.sentence() for one in certificates]

    @pytest.mark.parametrize("name", ["certificate.txt", "folder.json", "file/certificate.json"])
    def test_a_place_that_cannot_be_written_costs_no_delta(
        self, name: str, scores: Path, demur: Demur, tmp_path: Path
    ) -> None:
        (tmp_path / "folder.json").mkdir()
        (tmp_path / "file").write_text("")
        ended = demur("calibrate", "--scores", scores, "--out", tmp_path / name)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert not scores.with_name(f"{scores.name}.ledger.json").exists()

    def test_a_run_has_its_own(self, demur: Demur, tmp_path: Path) -> None:
        ended = demur("calibrate", tmp_path, "--out", tmp_path / "certificate.json")
        assert ended.code == 2
        assert "RUN/certificate.json" in ended.err

    def test_another_file_is_no_certificate(self, demur: Demur, scores: Path) -> None:
        ended = demur("inspect", scores)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert f"{scores} holds no certificate of demur" in ended.err
