"""Scores of one split on disk; every step after training reads them instead of the model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from calibration.decision import STAGE_KEYS
from calibration.scores import BoolArray, IntArray, ScoreTable, StageOutputs
from trainer.errors import RunError
from trainer.run.digests import MISMATCH, DamagedFile, damage
from trainer.run.folder import write_bytes

_SLICE = "slice."
CONTENT = "sha256"
"""Note of a table with the digest of its content"""


@dataclass(frozen=True, slots=True)
class SplitScores:
    """Raw outputs of every stage on one labelled split, as the exported models computed them."""

    split: str
    digest: str
    """sha256 of the split: images, labels and groups."""
    engine: str
    """Engine and precision, for example `onnxruntime-cpu/fp32`."""
    labels: IntArray
    """[n]"""
    stages: tuple[StageOutputs, ...]
    """In the order A, B; each [n]"""
    groups: NDArray[np.str_] | None = None
    """[n]"""
    paths: tuple[str, ...] = ()
    """[n], names for reports"""
    slices: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    """Metadata columns by which reports and promises may be cut, each [n]"""
    content: tuple[str, ...] = ()
    """[n], sha256 of each encoded image; empty in files of versions that kept none"""

    def __len__(self) -> int:
        return len(self.labels)

    def table(self, stage: int) -> ScoreTable:
        return ScoreTable(self.stages[stage], self.labels, self.groups)

    def take(self, rows: BoolArray | IntArray) -> SplitScores:
        where = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return SplitScores(
            split=self.split,
            digest=self.digest,
            engine=self.engine,
            labels=self.labels[where],
            stages=tuple(stage.take(where) for stage in self.stages),
            groups=None if self.groups is None else self.groups[where],
            paths=tuple(self.paths[i] for i in where) if self.paths else (),
            slices={name: values[where] for name, values in self.slices.items()},
            content=tuple(self.content[i] for i in where) if self.content else (),
        )

    @property
    def n_groups(self) -> int:
        """Number of independent units: groups, or images without groups."""
        return len(self) if self.groups is None else len(np.unique(self.groups))

    @property
    def identities(self) -> tuple[str, ...]:
        """[n], what identifies each image without its label: its content, else its name and its scores."""
        if self.content:
            return self.content
        names = self.paths or ("",) * len(self)
        outputs = np.concatenate([stage.logits for stage in self.stages], axis=1)
        return tuple(f"{name}\0{row.tobytes().hex()}" for name, row in zip(names, outputs, strict=True))


class ScoresNotFinite(RunError):
    """A model's output on some image is NaN or infinite."""


def require_finite(scores: SplitScores) -> SplitScores:
    """The scores; `ScoresNotFinite` names an image and stage with an output that is NaN or infinite.

    Such an image has no place in an order of confidences, so nothing can be certified with it. The service
    abstains on it.
    """
    for name, outputs in zip(STAGE_KEYS, scores.stages, strict=False):
        finite = np.isfinite(outputs.logits).all(axis=1)
        if outputs.gate is not None:
            finite &= np.isfinite(outputs.gate)
        rows = np.flatnonzero(~finite)
        if len(rows):
            first = scores.paths[rows[0]] if scores.paths else f"row {rows[0]}"
            raise ScoresNotFinite(
                f"the output of stage {name.upper()} is not a finite number on {len(rows)} of {len(scores)} "
                f"images of {scores.split}, the first {first}; mend the model, or leave such images out. "
                "Nothing was charged for it"
            )
    return scores


LAST_DIGITS = 1e-5
"""Difference of outputs, absolute and relative, that another processor may make"""


def as_certified(scores: SplitScores, path: Path) -> SplitScores:
    """The scores with the outputs that `path` holds, if those are the same up to their last digits.

    A processor rounds as it is built, and a certificate is the same computation, which costs no delta, only
    on the same scores. So a run of the same models goes on with its scores on another machine.
    """
    try:
        before = load_scores(path) if path.is_file() else None
    except RunError:
        return scores
    if before is None or not _agree(before, scores):
        return scores
    return replace(scores, stages=before.stages)


def _agree(before: SplitScores, scores: SplitScores) -> bool:
    """Whether both are outputs of the same models on the same rows, up to their last digits."""
    rows = (before.digest, before.engine, len(before.stages), len(before))
    if rows != (scores.digest, scores.engine, len(scores.stages), len(scores)):
        return False
    return bool(np.array_equal(before.labels, scores.labels)) and all(
        _close(old.logits, new.logits) and _close(old.gate, new.gate)
        for old, new in zip(before.stages, scores.stages, strict=True)
    )


def _close(old: NDArray[np.float64] | None, new: NDArray[np.float64] | None) -> bool:
    if old is None or new is None:
        return old is new
    return old.shape == new.shape and bool(np.allclose(old, new, rtol=LAST_DIGITS, atol=LAST_DIGITS))


def save_scores(scores: SplitScores, path: Path) -> None:
    """Write a parquet table with one row per image.

    Its columns: path, content, label, group, `a_logits`, `a_gate`, `b_logits`, ..., slices.
    """
    columns: dict[str, pa.Array] = {}
    if scores.paths:
        columns["path"] = pa.array(scores.paths, pa.string())
    if scores.content:
        columns["content"] = pa.array(scores.content, pa.string())
    columns["label"] = pa.array(scores.labels, pa.int64())
    if scores.groups is not None:
        columns["group"] = pa.array(scores.groups.tolist(), pa.string())
    for name, outputs in zip(STAGE_KEYS, scores.stages, strict=False):
        width = outputs.logits.shape[1]
        flat = pa.array(np.ascontiguousarray(outputs.logits).reshape(-1), pa.float64())
        columns[f"{name}_logits"] = pa.FixedSizeListArray.from_arrays(flat, width)
        if outputs.gate is not None:
            columns[f"{name}_gate"] = pa.array(outputs.gate, pa.float64())
    for slice_name, values in scores.slices.items():
        columns[f"{_SLICE}{slice_name}"] = pa.array(values.tolist(), pa.string())
    notes = {
        "split": scores.split,
        "digest": scores.digest,
        "engine": scores.engine,
        CONTENT: _content_digest(scores),
    }
    table = pa.table(columns).replace_schema_metadata(notes)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_bytes(path, sink.getvalue().to_pybytes())


def load_scores(path: Path) -> SplitScores:
    """The inverse of `save_scores`; `RunError` if the file holds something else.

    Raises `DamagedFile` if its content has changed. Files without a digest, which earlier versions wrote, are
    read as they are.
    """
    try:
        table = pq.read_table(path)
        notes = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        missing = {"split", "digest", "engine"} - notes.keys() or {"label", "a_logits"} - {
            *table.column_names
        }
        if missing:
            raise RunError(
                f"{path} is not a table of scores of a run; `demur train` or `demur wrap` writes it"
            )
        scores = _read(table, notes)
        intact = notes.get(CONTENT) in (None, _content_digest(scores))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise _damaged(path, str(error).strip().split("\n", 1)[0]) from None
    if not intact:
        raise _damaged(path, MISMATCH)
    return require_finite(scores)


def _damaged(path: Path, reason: str) -> DamagedFile:
    way_out = (
        "restore it from a backup, or run `demur train` (or `demur wrap`) again in this folder, which scores "
        "the images again"
    )
    return DamagedFile(damage(path, reason, way_out))


def _read(table: pa.Table, notes: Mapping[str, str]) -> SplitScores:
    names = set(table.column_names)
    n = table.num_rows
    stages = []
    for name in STAGE_KEYS:
        if f"{name}_logits" not in names:
            break
        logits = table.column(f"{name}_logits").combine_chunks()
        flat = logits.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        gate = table.column(f"{name}_gate").to_numpy().astype(np.float64) if f"{name}_gate" in names else None
        stages.append(StageOutputs(flat.reshape(n, logits.type.list_size), gate))
    return SplitScores(
        split=notes["split"],
        digest=notes["digest"],
        engine=notes["engine"],
        labels=table.column("label").to_numpy().astype(np.int64),
        stages=tuple(stages),
        groups=_strings(table, "group") if "group" in names else None,
        paths=tuple(table.column("path").to_pylist()) if "path" in names else (),
        slices={
            name.removeprefix(_SLICE): _strings(table, name)
            for name in table.column_names
            if name.startswith(_SLICE)
        },
        content=tuple(table.column("content").to_pylist()) if "content" in names else (),
    )


def _content_digest(scores: SplitScores) -> str:
    """sha256 of all that the table holds, whatever its encoding."""
    whole = hashlib.sha256()
    texts = {"path": scores.paths, "content": scores.content, **scores.slices}
    if scores.groups is not None:
        texts["group"] = scores.groups.tolist()
    facts = [
        scores.split,
        scores.digest,
        scores.engine,
        {name: list(column) for name, column in texts.items()},
    ]
    whole.update(json.dumps(facts).encode())
    for outputs in scores.stages:
        for array in (outputs.logits, outputs.gate):
            whole.update(b"none" if array is None else repr(array.shape).encode() + array.tobytes())
    whole.update(np.ascontiguousarray(scores.labels, dtype=np.int64).tobytes())
    return whole.hexdigest()


def _strings(table: pa.Table, name: str) -> NDArray[np.str_]:
    return np.asarray(table.column(name).to_pylist(), dtype=np.str_)
