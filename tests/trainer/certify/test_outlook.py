"""What is said of a split's delta before a model is trained; without any left a run does not begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.errors import DeltaExhausted
from calibration.known_splits import KnownCertificate, SplitIdentity
from calibration.ledger import Ledger
from trainer.bundling.finish import RunResult
from trainer.certify.outlook import outlook
from trainer.certify.user_ledger import change_accounts, ledger_in
from trainer.run.folder import RunFolder, read_json, write_json
from trainer.run.origin import Origin, origin_of_run
from trainer.run.promise import PromiseConfig

IMAGES = [f"image {i}" for i in range(1000)]
OVERLAPPING = [f"image {i}" for i in range(500, 1500)]
USUAL = PromiseConfig()


def spend(delta: float, made_by: str = "run a", model: str = "model a") -> None:
    one = KnownCertificate(
        "exact", delta, f"f {made_by}", "/runs/a", "2026-01-01T00:00:00", made_by=made_by, model=model
    )
    change_accounts(lambda known: known.charge(SplitIdentity.of(IMAGES), [one], delta))


def said(
    run: Path, promise: PromiseConfig = USUAL, images: list[str] = IMAGES, model: str = "model a"
) -> str | None:
    origin = Origin("run b", model)
    return outlook(images, "digest", promise, RunFolder(run), origin, seeds="(About seeds.) ")


def test_the_first_training_says_that_it_spends_everything_and_how_to_try_settings(tmp_path: Path) -> None:
    note = said(tmp_path)
    assert note is not None
    assert (
        "which has delta 0.05. This one will spend 0.05, after which no other promise of this model" in note
    )
    assert "--certificate none" in note
    assert "demur calibrate RUN --certificate exact" in note


def test_a_second_promise_of_a_model_does_not_begin_and_names_the_ways_out(tmp_path: Path) -> None:
    spend(0.05)
    with pytest.raises(DeltaExhausted) as refused:
        said(tmp_path)
    for part in (
        "0 of delta 0.05 is left for this model",
        "in /runs/a at 2026-01-01",
        "nothing was begun",
        "--certificate none",
        "label new images",
    ):
        assert part in str(refused.value)
    assert "--delta" not in str(refused.value)


@pytest.mark.parametrize(
    ("images", "model"), [(IMAGES, "model b"), (OVERLAPPING, "model b"), (OVERLAPPING, "model a")]
)
def test_another_model_or_split_begins_and_is_told_what_a_choice_costs(
    tmp_path: Path, images: list[str], model: str
) -> None:
    spend(0.05)
    note = said(tmp_path, images=images, model=model)
    assert note is not None
    for part in (
        "1 certificate(s) of other models, or on other splits of its images: exact",
        "in /runs/a at 2026-01-01",
        "certificate 2 of the split: it holds with 95 % confidence by itself",
        "all together hold with 90 % confidence",
        "(About seeds.)",
        "--certificate none",
    ):
        assert part in note


def test_twenty_models_prove_nothing_together(tmp_path: Path) -> None:
    for number in range(19):
        spend(0.05, made_by=f"run {number}", model=f"model {number}")
    assert "all together hold with no confidence" in str(said(tmp_path, model="another"))


def test_a_share_that_is_left_is_offered_and_fits(tmp_path: Path) -> None:
    spend(0.02)
    with pytest.raises(DeltaExhausted, match=r"ask for a smaller share \(--delta 0\.03\)"):
        said(tmp_path)
    assert "1 certificate(s) of this model have left" in str(said(tmp_path, PromiseConfig(delta=0.03)))
    assert "spend 0.01 and leave 0.02." in str(said(tmp_path, PromiseConfig(delta=0.01)))
    assert "spend 0.02 and leave 0.01, too little" in str(said(tmp_path, PromiseConfig(delta=0.02)))


def test_a_run_that_repeats_another_one_begins(tmp_path: Path) -> None:
    spend(0.05, made_by="run b")
    assert "This run repeats /runs/a" in str(said(tmp_path))


def finished(folder: Path, wrapped: RunResult, ledger: Ledger) -> None:
    """The files of a finished run of an older version, whose run.json remembers no ledger."""
    record = {name: value for name, value in read_json(wrapped.run.record).items() if name != "ledger"}
    write_json(folder / "run.json", record)
    write_json(folder / "ledger.json", ledger.to_dict())


def test_a_finished_run_may_be_resumed(tmp_path: Path, wrapped: RunResult) -> None:
    spend(0.05)
    finished(tmp_path, wrapped, Ledger())
    assert "only the same certificates as before are free" in str(said(tmp_path))


@pytest.mark.parametrize("certificate", ["none", "scrc-t"])
def test_methods_that_spend_nothing_are_not_held_up(tmp_path: Path, certificate: str) -> None:
    spend(0.05)
    assert said(tmp_path, PromiseConfig(certificate=certificate)) is None  # type: ignore[arg-type]


def test_labels_without_limit_need_no_advice(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "own"):
        assert said(tmp_path) is None


def test_what_a_run_of_an_older_version_has_spent_is_known_before_it_is_resumed(
    tmp_path: Path, wrapped: RunResult
) -> None:
    finished(tmp_path, wrapped, Ledger().charge("digest", "exact", 0.05, "f"))
    model = origin_of_run(RunFolder(tmp_path)).model
    assert "0 of delta 0.05 is left" in str(said(tmp_path, model=model))
