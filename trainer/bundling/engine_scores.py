"""Scores of a finished run on further engines and precisions, admitted on val_select.

An engine whose labels differ too often from those of full precision is left out here: before a label of
val_calib is read and before any delta is spent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bundle.engines.contract import DEFAULT_KEY, EngineKey
from trainer.certify.evidence import Evidence
from trainer.certify.gate import fit_gate, read_rules, write_gate
from trainer.data.images import ImageSource
from trainer.data.splits import Splits
from trainer.errors import RunError
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder
from trainer.run.promise import PromiseConfig
from trainer.run.record import RunRecord
from trainer.scoring.agreement import Agreement, agreement
from trainer.scoring.collect import open_runner, score_split
from trainer.scoring.split_scores import SplitScores, load_scores

LEAST_AGREEMENT = 0.98
"""Share of val_select that must get the label that full precision gives it."""


@dataclass(frozen=True, slots=True)
class RunImages:
    """The images of a run and their splits."""

    source: ImageSource
    splits: Splits


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A finished run with all that scoring on further engines needs."""

    run: RunFolder
    record: RunRecord
    promise: PromiseConfig
    scores: Mapping[str, SplitScores]
    """Split name -> scores of the run's own engine and precision"""
    images: RunImages | None
    """None if no step needs them"""


@dataclass(frozen=True, slots=True)
class EngineScores:
    """The scores of one engine and precision: evidence for its certificate, and val_test."""

    key: EngineKey
    evidence: Evidence
    test: SplitScores


def own_scores(run: RunFolder) -> dict[str, SplitScores]:
    """The scores that the run was certified with; `RunError` if they are not from the default engine."""
    scores = {
        name: load_scores(run.need(run.scores(name), "demur train"))
        for name in ("val_select", "val_calib", "val_test")
    }
    engine = scores["val_calib"].engine
    if engine != str(DEFAULT_KEY):
        raise RunError(
            f"{run.root} was scored on {engine}; further engines can be certified beside {DEFAULT_KEY} only"
        )
    return scores


def score_engines(
    prepared: PreparedRun,
    keys: Sequence[EngineKey],
    least_agreement: float,
    console: RunConsole,
    *,
    first_only: bool = False,
) -> tuple[tuple[EngineScores, ...], tuple[Agreement, ...]]:
    """(the run's own engine and those of `keys` that agree with it, the agreement of those left out).

    `first_only`: only the first of `keys` that agrees is taken, and those behind it are not scored.
    """
    record, promise, own = prepared.record, prepared.promise, prepared.scores
    rules = read_rules(prepared.run)
    select, calib = own["val_select"], own["val_calib"]
    evidence = Evidence(select, calib, rules, record.costs, promise, record.classes, record.doubt)
    scored = [EngineScores(DEFAULT_KEY, evidence, own["val_test"])]
    left_out: list[Agreement] = []
    if keys and prepared.images is not None:
        for key in keys:
            found = _score_engine(prepared, prepared.images, key, least_agreement, console)
            if isinstance(found, EngineScores):
                scored.append(found)
                if first_only:
                    break
            else:
                left_out.append(found)
    return tuple(scored), tuple(left_out)


def _score_engine(
    prepared: PreparedRun, images: RunImages, key: EngineKey, least_agreement: float, console: RunConsole
) -> EngineScores | Agreement:
    """Scores on one engine; its agreement alone if that is too small."""
    console.heading(f"Scores on {key}")
    record, promise = prepared.record, prepared.promise
    folder, runner = prepared.run.on_engine(str(key)), open_runner(record, prepared.run, key)

    def scores_of(split: str) -> SplitScores:
        return score_split(images.source, images.splits, split, runner, folder, console, same_models=True)

    select = scores_of("val_select")
    found = agreement(select, prepared.scores["val_select"])
    console.note(found.sentence())
    if found.labels < least_agreement:
        console.warn(
            f"{key} is left out: it must agree on {100 * least_agreement:g} % of val_select. "
            "No delta was spent on it"
        )
        return found
    gate = fit_gate(select, promise, images.splits.units["val_calib"])
    write_gate(gate, folder)
    calib = scores_of("val_calib")
    evidence = Evidence(select, calib, gate.rules, record.costs, promise, record.classes, record.doubt)
    return EngineScores(key, evidence, scores_of("val_test"))
