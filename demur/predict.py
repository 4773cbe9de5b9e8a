"""`demur predict`: the decisions of a bundle on a set of images, offline, as the service would decide."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bundle.images.decode import DEFAULT_LIMITS, DecodeLimits, ImageError
from bundle.runner import CascadeRunner
from bundle.selection.choice import EngineWish, first_choice
from bundle.store import LoadedBundle, load_bundle
from bundle.verify import read_manifest
from calibration.decision import Decision
from demur.decision_table import DecisionRow, open_table
from trainer.data.images import ImageSource
from trainer.errors import DataError
from trainer.run.console import RunConsole

CHUNK = 32
"""Images that one thread decides before it hands them over."""


@dataclass(frozen=True, slots=True)
class PredictSummary:
    """How a set of images was decided."""

    images: int
    answered_by_stage: Mapping[str, int]
    unreadable: int

    @property
    def answered(self) -> int:
        return sum(self.answered_by_stage.values())

    def sentence(self) -> str:
        """`1,000 images: 840 answered (512 by stage A, 328 by stage B), 158 abstained, 2 unreadable.`"""
        stages = ", ".join(f"{n:,} by stage {name}" for name, n in sorted(self.answered_by_stage.items()))
        abstained = self.images - self.answered - self.unreadable
        return (
            f"{self.images:,} images: {self.answered:,} answered{f' ({stages})' if stages else ''}, "
            f"{abstained:,} abstained, {self.unreadable:,} unreadable."
        )


def predict_source(
    bundle_folder: Path,
    source: ImageSource,
    out: Path,
    *,
    wish: EngineWish | None = None,
    limits: DecodeLimits = DEFAULT_LIMITS,
    threads: int = 2,
    console: RunConsole | None = None,
) -> PredictSummary:
    """Decide every image of `source` and write a row an image to `out` (.parquet, .csv or .jsonl).

    `wish`: the engine and precision; None for the first that the bundle is certified on and that is here.
    An image that cannot be read is a row as well. Raises BundleError, EngineUnavailable or
    UnknownTableFormat; `out` is then as it was before.
    """
    console = console or RunConsole()
    key = first_choice(read_manifest(bundle_folder), wish or EngineWish())
    loaded = load_bundle(bundle_folder, key=key, calls=threads, limits=limits)
    _explain(loaded, source, console)
    counts: Counter[str] = Counter()
    unreadable = 0
    with (
        open_table(out, len(loaded.manifest.classes)) as table,
        console.bar("Deciding", len(source)) as bar,
    ):
        for rows in _decided(loaded.runner, source, threads):
            table.write(rows)
            counts.update(row.stage for row in rows if row.decision == "answer" and row.stage is not None)
            unreadable += sum(row.error is not None for row in rows)
            bar.advance(len(rows))
    return PredictSummary(len(source), dict(counts), unreadable)


def _explain(loaded: LoadedBundle, source: ImageSource, console: RunConsole) -> None:
    """What the person at the terminal should know before the decisions come."""
    if loaded.certificate is None:
        console.warn(
            f"Not certified here: the bundle has no certificate for {loaded.key}; all is abstained on."
        )
    else:
        console.note(loaded.certificate.sentence())
    if source.class_names and source.class_names != loaded.manifest.classes:
        console.warn(
            f"The data names its classes {list(source.class_names)}, the bundle "
            f"{list(loaded.manifest.classes)}: labels in the output are the bundle's."
        )


def _decided(runner: CascadeRunner, source: ImageSource, threads: int) -> Iterator[list[DecisionRow]]:
    """Rows in the source's order. Bytes are read here, one after another, and decided on the threads."""
    running: deque[Future[list[DecisionRow]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="predict") as pool:
        for start in range(0, len(source), CHUNK):
            images = [_read(source, row) for row in range(start, min(start + CHUNK, len(source)))]
            paths = source.paths[start : start + CHUNK]
            running.append(pool.submit(_decide_chunk, runner, paths, images))
            if len(running) > 2 * threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _read(source: ImageSource, row: int) -> bytes | DataError:
    try:
        return source.read(row)
    except DataError as fault:
        return fault


def _decide_chunk(
    runner: CascadeRunner, paths: Sequence[str], images: Sequence[bytes | DataError]
) -> list[DecisionRow]:
    return [_decide(runner, path, image) for path, image in zip(paths, images, strict=True)]


def _decide(runner: CascadeRunner, path: str, image: bytes | DataError) -> DecisionRow:
    if isinstance(image, DataError):
        return _unreadable(path, image)
    try:
        (decision,) = runner.decide([image])
    except ImageError as fault:
        return _unreadable(path, fault)
    return _row(path, decision)


def _row(path: str, decision: Decision) -> DecisionRow:
    return DecisionRow(
        path=path,
        decision=decision.decision,
        label=decision.label,
        prediction_set=decision.prediction_set,
        probability=decision.probabilities[1],
        confidence=decision.confidence,
        stage=decision.stage,
        reason=decision.reason,
        error=None,
        probabilities=decision.probabilities,
    )


def _unreadable(path: str, fault: Exception) -> DecisionRow:
    return DecisionRow(
        path=path,
        decision="abstain",
        label=None,
        prediction_set=None,
        probability=None,
        confidence=None,
        stage=None,
        reason="unreadable",
        error=str(fault),
        probabilities=None,
    )
