"""`demur predict`: decisions of a bundle on a set of images, offline, the same as the service makes."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bundle.images.decode import DEFAULT_LIMITS, DecodeLimits
from bundle.images.errors import ImageError
from bundle.loader import LoadedBundle, load_bundle
from bundle.manifest import BundleManifest
from bundle.selection.choice import EnginePreference, first_choice
from bundle.verify import read_manifest
from calibration.decision import Decision
from demur.commands.decision_table import UNREADABLE, DecisionRow, open_decisions
from demur.commands.table_file import require_table
from demur.output import printable, run_console, write_json
from trainer.data.config import DataConfig
from trainer.data.images import ImageSource
from trainer.data.source import open_source
from trainer.errors import DataError
from trainer.run.console import RunConsole

NO_NUMBERS = "the model's outputs for this image are not finite numbers"
CHUNK = 32
"""Number of images per task of a thread."""


@dataclass(frozen=True, slots=True)
class PredictSummary:
    """Counts of the decisions on a set of images."""

    images: int
    answered_by_stage: Mapping[str, int]
    reasons: Mapping[str, int]
    """Reason of an abstention -> number of images"""
    bundle: str
    version: str
    engine: str

    @property
    def answered(self) -> int:
        return sum(self.answered_by_stage.values())

    @property
    def unreadable(self) -> int:
        return self.reasons.get(UNREADABLE, 0)

    @property
    def abstained(self) -> int:
        """Images that are for a person, without the unreadable ones"""
        return self.images - self.answered - self.unreadable

    def sentence(self) -> str:
        """`1,000 images: 840 answered (512 by stage A, 328 by stage B), 158 abstained, 2 unreadable.`"""
        stages = ", ".join(f"{n:,} by stage {name}" for name, n in sorted(self.answered_by_stage.items()))
        return (
            f"{self.images:,} images: {self.answered:,} answered{f' ({stages})' if stages else ''}, "
            f"{self.abstained:,} abstained, {self.unreadable:,} unreadable."
        )

    def to_dict(self) -> dict[str, Any]:
        counts = {"answered": self.answered, "abstained": self.abstained, "unreadable": self.unreadable}
        return asdict(self) | counts


def predict(
    bundle: Path, data: DataConfig, out: Path, wish: EnginePreference, *, as_json: bool = False
) -> None:
    """Decide the images of `data`, write the table `out`, and print the counts. Raises as
    `predict_source` and `open_source` do; an unusable `out` before any image is read."""
    require_table(out)
    console = run_console(as_json)
    images = open_source(data)
    summary = predict_source(bundle, images, out, wish=wish, console=console)
    console.note(summary.sentence())
    console.note(f"decisions: {out}")
    if as_json:
        write_json({"table": out, **summary.to_dict()})


def predict_source(
    bundle_folder: Path,
    source: ImageSource,
    out: Path,
    *,
    wish: EnginePreference | None = None,
    limits: DecodeLimits = DEFAULT_LIMITS,
    threads: int = 2,
    console: RunConsole | None = None,
) -> PredictSummary:
    """Decide every image of `source` and write one row per image to `out` (.parquet, .csv or .jsonl).

    `wish`: engine and precision; None takes the first that the bundle is certified on and that is
    installed. An unreadable image gets a row as well. Raises BundleError, EngineUnavailable or
    UnknownTableFormat, and then leaves `out` as it was.
    """
    console = console or RunConsole()
    key = first_choice(read_manifest(bundle_folder), wish or EnginePreference())
    loaded = load_bundle(bundle_folder, key=key, calls=threads, limits=limits)
    _print_notices(loaded, source, console)
    manifest = loaded.manifest
    answered: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    with (
        open_decisions(out, len(manifest.classes)) as table,
        console.bar("Deciding", len(source)) as bar,
    ):
        for rows in _decided(loaded, source, _truths(source, manifest.classes), threads):
            table.write(rows)
            answered.update(row.stage for row in rows if row.decision == "answer" and row.stage is not None)
            reasons.update(row.reason for row in rows if row.reason is not None)
            bar.advance(len(rows))
    return PredictSummary(
        len(source), dict(answered), dict(reasons), manifest.name, manifest.version, str(loaded.key)
    )


def _print_notices(loaded: LoadedBundle, source: ImageSource, console: RunConsole) -> None:
    """Print the certificate, or why none holds, and whether the data names other classes."""
    if loaded.certificate is None:
        console.warn(
            f"Not certified here: the bundle has no certificate for {loaded.key}; all is abstained on."
        )
    elif not loaded.certificate.feasible:
        console.warn(
            f"{loaded.certificate.sentence()} So this bundle may not answer at all: every image gets the "
            "reason no-promise."
        )
    else:
        console.note(loaded.certificate.sentence())
    if source.class_names and source.class_names != loaded.manifest.classes:
        console.warn(
            f"The data names its classes {list(source.class_names)}, the bundle "
            f"{list(loaded.manifest.classes)}: labels in the output are the bundle's."
        )


def _truths(source: ImageSource, classes: Sequence[str]) -> list[int | None]:
    """Row -> its label in the data as a class of the bundle: by name if the data names all of the classes."""
    names = source.class_names
    by_name = set(names) == set(classes)
    places = [classes.index(name) if by_name else index for index, name in enumerate(names)]
    return [places[label] if label >= 0 and places[label] < len(classes) else None for label in source.labels]


def _decided(
    loaded: LoadedBundle, source: ImageSource, truths: Sequence[int | None], threads: int
) -> Iterator[list[DecisionRow]]:
    """Rows in the source's order. This thread reads the bytes, one image after another; the pool decides."""
    running: deque[Future[list[DecisionRow]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="predict") as pool:
        for start in range(0, len(source), CHUNK):
            images = [_read(source, row) for row in range(start, min(start + CHUNK, len(source)))]
            of_images = slice(start, start + len(images))
            running.append(
                pool.submit(_decide_chunk, loaded, source.paths[of_images], truths[of_images], images)
            )
            if len(running) > 2 * threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _read(source: ImageSource, row: int) -> bytes | DataError:
    try:
        return source.read(row)
    except DataError as error:
        return error


def _decide_chunk(
    loaded: LoadedBundle,
    paths: Sequence[str],
    truths: Sequence[int | None],
    images: Sequence[bytes | DataError],
) -> list[DecisionRow]:
    rows = (_decide(loaded, path, image) for path, image in zip(paths, images, strict=True))
    return [replace(row, truth=truth) for row, truth in zip(rows, truths, strict=True)]


def _decide(loaded: LoadedBundle, path: str, image: bytes | DataError) -> DecisionRow:
    if isinstance(image, DataError):
        return _unreadable(loaded.manifest, path, image)
    try:
        (decision,) = loaded.runner.decide([image])
    except ImageError as error:
        return _unreadable(loaded.manifest, path, error)
    return _row(loaded.manifest, path, decision)


def _row(manifest: BundleManifest, path: str, decision: Decision) -> DecisionRow:
    return DecisionRow(
        path=printable(path),
        decision=decision.decision,
        label=decision.label,
        label_name=None if decision.label is None else manifest.classes[decision.label],
        prediction_set=decision.prediction_set,
        probability=_finite(decision.probabilities[1]),
        confidence=_finite(decision.confidence),
        stage=decision.stage,
        reason=decision.reason,
        error=None if all(map(math.isfinite, decision.probabilities)) else NO_NUMBERS,
        truth=None,
        bundle=manifest.name,
        bundle_version=manifest.version,
        probabilities=tuple(map(_finite, decision.probabilities)),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _unreadable(manifest: BundleManifest, path: str, error: Exception) -> DecisionRow:
    return DecisionRow(
        path=printable(path),
        decision="abstain",
        label=None,
        label_name=None,
        prediction_set=None,
        probability=None,
        confidence=None,
        stage=None,
        reason=UNREADABLE,
        error=printable(str(error)),
        truth=None,
        bundle=manifest.name,
        bundle_version=manifest.version,
        probabilities=None,
    )
