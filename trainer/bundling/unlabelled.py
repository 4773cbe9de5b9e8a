"""Unlabelled images from where a bundle will serve, scored by the models of a finished run."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from pydantic import ValidationError

from trainer.certify.evidence import Evidence
from trainer.certify.prevalence import FOUND_SHARE, planned_interval
from trainer.data.config import DataConfig
from trainer.data.images import ImageSource
from trainer.data.opening import open_with_progress
from trainer.errors import RunError
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder
from trainer.run.promise import UnlabelledImages
from trainer.run.record import RunRecord
from trainer.scoring.collect import Rows, collect_scores, open_runner
from trainer.scoring.split_scores import SplitScores, require_finite, save_scores

FEWEST = 30
"""Unlabelled units from which a prevalence can be told at all; fewer leave almost every share open"""


def with_unlabelled(
    evidence: Evidence, source: str, record: RunRecord, run: RunFolder, console: RunConsole
) -> Evidence:
    """The evidence of a promise whose prevalence is to be found from the images of `source`.

    Labels of the source are not read, and none of val_calib. Raises DataError for a source that cannot be
    opened, and RunError for images that cannot tell a prevalence; nothing is charged then.
    """
    if len(evidence.class_names) != 2:
        raise RunError(
            "a prevalence is found from unlabelled images for two classes only, and this run has "
            f"{len(evidence.class_names)} ({', '.join(evidence.class_names)}); give the shares instead"
        )
    scores = _score(
        _open(source, evidence.calib, record, console), evidence.calib, source, record, run, console
    )
    images = UnlabelledImages(
        source=source,
        digest=scores.digest,
        units=scores.n_groups,
        planned=planned_interval(evidence, scores),
        delta=evidence.promise.delta * FOUND_SHARE,
    )
    promise = evidence.promise.changed({"prevalence": (), "unlabelled": images.model_dump()})
    return replace(evidence, promise=promise, unlabelled=scores)


def _open(source: str, calib: SplitScores, record: RunRecord, console: RunConsole) -> ImageSource:
    """The images, with groups by the column of the run if it has groups."""
    recorded = record.provenance.config.get("data")
    try:
        data = (
            DataConfig.model_validate(recorded) if isinstance(recorded, dict) else DataConfig(source=source)
        )
    except ValidationError:
        data = DataConfig(source=source)
    group = data.group if calib.groups is not None else None
    opened = open_with_progress(
        DataConfig(source=source, group=group, image_column=data.image_column), console
    )
    if calib.groups is not None and opened.groups is None:
        raise RunError(
            f"{source} has no groups, and the promise of this run is about groups: name them there as the "
            f"calibration images do{'' if group is None else f', in {group!r}'}"
        )
    return opened


def _score(
    images: ImageSource,
    calib: SplitScores,
    source: str,
    record: RunRecord,
    run: RunFolder,
    console: RunConsole,
) -> SplitScores:
    with console.bar(f"Scoring {source}", len(images)) as bar:
        scores = collect_scores(
            images,
            Rows("unlabelled", np.arange(len(images)), ""),
            open_runner(record, run),
            advance=bar.advance,
        )
    # In an order that is theirs, so that neither their names nor their folders change a draw.
    scores = require_finite(scores).take(np.argsort(np.asarray(scores.content, dtype=np.str_)))
    if scores.n_groups < FEWEST:
        units = "image" if calib.groups is None else "group"
        raise RunError(
            f"{source} holds {scores.n_groups} {units}{'' if scores.n_groups == 1 else 's'}; a prevalence "
            f"needs at least {FEWEST}, and some thousand to be known to a few points"
        )
    known = set(calib.content)
    if shared := [path for path, digest in zip(scores.paths, scores.content, strict=True) if digest in known]:
        raise RunError(
            f"{len(shared)} of the {len(scores)} images of {source} are calibration images of this run, the "
            f"first {shared[0]}; a prevalence is found from others: leave those out"
        )
    # Labels of these images are never looked at.
    digest = hashlib.sha256(
        "\n".join(
            [scores.engine, *scores.content, *(() if scores.groups is None else scores.groups.tolist())]
        ).encode()
    )
    unlabelled = replace(
        scores, labels=np.zeros(len(scores), dtype=np.int64), digest=digest.hexdigest(), slices={}
    )
    save_scores(unlabelled, run.scores("unlabelled"))
    return unlabelled
