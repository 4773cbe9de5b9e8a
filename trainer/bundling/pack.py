"""The bundle of a run, written from the files of its folder, so that a new certificate needs no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bundle.draft import BundleDraft, FileSource, GoldenCandidate, StageDraft
from bundle.engines.contract import DEFAULT_PRECISION, EngineKey, file_precision
from bundle.manifest import BundleManifest, Provenance
from bundle.policy import CertificateEntry
from bundle.signing.envelope import SIGNATURE_FILE
from bundle.writer import write_bundle
from calibration.decision import STAGE_KEYS, OperatingPoint
from calibration.scores import IntArray
from trainer.bundling.audits import audit_curves
from trainer.bundling.reference import drift_reference
from trainer.certify.evidence import Policy
from trainer.data.images import ImageSource
from trainer.reports.evaluation import Report
from trainer.reports.summary import idle_stage_note
from trainer.run.build import with_build
from trainer.run.folder import RunFolder, write_bytes
from trainer.run.record import RunRecord, check_models, remembered_ledger
from trainer.scoring.split_scores import SplitScores, load_scores

GOLDEN_CANDIDATES = 120


def keep_golden(source: ImageSource, rows: IntArray, run: RunFolder) -> None:
    """Copy some encoded images of `rows` into the run folder, as candidates for golden cases.

    They are spread evenly over val_select; a file is named by its position and its label.
    """
    chosen = (
        rows[np.unique(np.linspace(0, len(rows) - 1, GOLDEN_CANDIDATES).astype(np.int64))]
        if len(rows)
        else rows
    )
    for place, row in enumerate(chosen.tolist()):
        write_bytes(run.golden / f"{place:03d}-{source.labels[row]}", source.read(row))


@dataclass(frozen=True, slots=True)
class FurtherEngine:
    """A further engine and precision that a bundle is certified on."""

    key: EngineKey
    policy: Policy
    figures: Mapping[str, float] = field(default_factory=dict)
    """Measured on val_test, by name"""


def lost_signature(run: RunFolder) -> tuple[str, ...]:
    """What is to be said if the bundle of the run is signed, because the one to be written is not."""
    if not (run.bundle / SIGNATURE_FILE).exists():
        return ()
    return (
        f"The earlier bundle was signed. This one is another, and its signature is gone: "
        f"demur sign {run.bundle} --key private.pem",
    )


def pack_bundle(
    record: RunRecord,
    policy: Policy,
    report: Report | None,
    run: RunFolder,
    further: Sequence[FurtherEngine] = (),
    extra: Mapping[str, FileSource] | None = None,
) -> BundleManifest:
    """Write the bundle of the run, in place of an older one.

    `policy`: that of the run's own engine and precision. `report`: None if val_test is empty; the bundle
    then states no figures. `extra`: further files by their path in the bundle.
    """
    own = EngineKey.parse(policy.certificate.engine or "")
    certified = [FurtherEngine(own, policy), *further]
    precisions = {DEFAULT_PRECISION, *(file_precision(one.key.precision) for one in certified)}
    for precision in sorted(precisions):
        check_models(record, run, precision)
    select = _select_policies(run, own, certified)
    reference = drift_reference(run, select)
    draft = BundleDraft(
        name=record.name,
        created_at=datetime.now(UTC).replace(microsecond=0),
        task=record.task,
        classes=record.classes,
        stages=tuple(
            StageDraft(
                models={precision: run.onnx(name, precision) for precision in sorted(precisions)},
                preprocess=stage.preprocess,
                output=stage.output,
                macs=stage.macs,
                parameters=stage.parameters,
            )
            for name, stage in zip(STAGE_KEYS, record.stages, strict=False)
        ),
        certificates=tuple(
            CertificateEntry(
                engine=one.key.engine,
                precision=one.key.precision,
                certificate=one.policy.certificate,
                operating_point=one.policy.point,
            )
            for one in certified
        ),
        golden_candidates=_candidates(run),
        provenance=_provenance(record, certified, run),
        evaluation=({} if report is None else evaluation(report))
        | {f"{one.key} {name}": value for one in further for name, value in one.figures.items()},
        audits={key: curves for key, policy in select.items() if (curves := audit_curves(*policy))},
        reference=None if reference is None else reference.to_bytes(),
        extra=_metrics(run) | _adapters(run) | dict(extra or {}),
    )
    return write_bundle(draft, run.bundle, replace=True)


def evaluation(report: Report) -> dict[str, float]:
    """The figures of the report by name, with `_low` and `_high` for those with an interval."""
    figures = {"images": float(report.n), "units": float(report.units)}
    for measured in report.measurements:
        for suffix, value in (("", measured.value), ("_low", measured.low), ("_high", measured.high)):
            if value is not None:
                figures[measured.metric + suffix] = value
    return figures


def _provenance(record: RunRecord, certified: Sequence[FurtherEngine], run: RunFolder) -> Provenance:
    """The record's, with the open question about groups, the number of the certificate among all on its
    calibration split, and whether a cascade works as one stage."""
    remembered = remembered_ledger(run)
    asked = () if record.question is None else (record.question.notice,)
    entered = (remembered.sentence,) if remembered is not None and remembered.sentence else ()
    idle = [f"{one.key}: {note}" for one in certified for note in idle_stage_note(record, one.policy)]
    notices = (*asked, *record.provenance.notices, *entered, *idle)
    return with_build(record.provenance).model_copy(update={"notices": notices})


def _select_policies(
    run: RunFolder, own: EngineKey, certified: Sequence[FurtherEngine]
) -> dict[str, tuple[SplitScores, OperatingPoint]]:
    """Engine and precision -> scores of val_select there, and the operating point."""
    found = {}
    for one in certified:
        folder = run if one.key == own else run.on_engine(str(one.key))
        scores = load_scores(folder.need(folder.scores("val_select"), "demur train"))
        found[str(one.key)] = (scores, one.policy.point)
    return found


def _candidates(run: RunFolder) -> Sequence[GoldenCandidate]:
    files = sorted(run.golden.iterdir()) if run.golden.is_dir() else []
    return [GoldenCandidate(file.read_bytes(), int(file.name.partition("-")[2])) for file in files]


def _metrics(run: RunFolder) -> dict[str, FileSource]:
    files: list[Path] = sorted(run.metrics.iterdir()) if run.metrics.is_dir() else []
    return {f"metrics/{file.name}": file for file in files if file.suffix in (".png", ".csv", ".json")}


def _adapters(run: RunFolder) -> dict[str, FileSource]:
    """Adapters before merging, so that a model can be traced to its weights."""
    return {
        f"adapter/stage_{name}/{file.name}": file
        for name in STAGE_KEYS
        if run.adapter(name).is_dir()
        for file in sorted(run.adapter(name).iterdir())
    }
