"""Writing of a bundle: complete in a folder beside its destination, synced to disk, then renamed.

After a crash, with a full disk or an unfit model, nothing is left at the destination.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from pydantic import TypeAdapter, ValidationError

from bundle.draft import BundleDraft, FileSource
from bundle.engines.contract import DEFAULT_ENGINE, DEFAULT_PRECISION, file_precision
from bundle.engines.model import open_model
from bundle.golden import OTHER_ENGINE_TOLERANCE, TOLERANCES, choose, expectations
from bundle.hugging_face import model_config, preprocessor_config
from bundle.images.headers import read_header
from bundle.manifest import (
    MANIFEST_FILE,
    REFERENCE_FILE,
    SCHEMA_VERSION,
    USUAL_SCHEMA,
    BundleError,
    BundleManifest,
    BundlePath,
    BundleTampered,
    FileRecord,
    GoldenCase,
    StageSpec,
    canonical_bytes,
    sealed,
)
from bundle.model_card import model_card
from bundle.runner import CascadeRunner, CascadeStage
from bundle.system.disk import sync_folder
from bundle.verify import verify_bundle
from calibration.decision import STAGE_NAMES, OperatingPoint, StageRule

_UNSEALED = "0" * 16
_BUNDLE_PATH: TypeAdapter[str] = TypeAdapter(BundlePath)
_SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}


class BundleExists(BundleError):
    """The destination of the bundle is occupied."""


def write_bundle(draft: BundleDraft, folder: Path, *, replace: bool = False) -> BundleManifest:
    """Write `draft` as the bundle `folder` and return its manifest.

    The models are opened and the golden cases computed on the engines of the certificates. With
    `replace`, an older bundle at the destination is replaced; anything else there is never touched.
    Raises BundleExists, EngineError or ModelRefused (models that no bundle may hold), ImageError (a
    golden candidate) and ValueError (a draft that contradicts itself).
    """
    _require_room(folder, replace)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _scratch_folder(folder) as scratch:
        models = _stage_models(draft)
        stages = _open_stages(draft, models)
        golden, images = _golden_cases(draft, stages)
        files: dict[str, FileSource] = {**models, **images, **_cards(draft), **_reference(draft)}
        files |= _extra(draft, files)
        records = {path: _write_file(scratch / path, source) for path, source in files.items()}
        manifest = sealed(_manifest(draft, next(iter(stages.values())), golden, records))
        _write_file(scratch / MANIFEST_FILE, canonical_bytes(manifest))
        _read_back(scratch, manifest)
        _sync_folders(scratch)
        _put_in_place(scratch, folder)
    return manifest


def _require_room(folder: Path, replace: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / MANIFEST_FILE).is_file():
        raise BundleExists(folder.name, "is there already and is no bundle; choose another place")
    if not replace:
        raise BundleExists(folder.name, "is a bundle already, and bundles never change; choose another place")


@contextmanager
def _scratch_folder(folder: Path) -> Iterator[Path]:
    """A new folder on the same file system, removed afterwards unless it was renamed."""
    scratch = folder.parent / f".{folder.name}.{token_hex(6)}.partial"
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _model_path(index: int, precision: str) -> str:
    file = file_precision(precision)
    name = "model.onnx" if file == DEFAULT_PRECISION else f"model.{file}.onnx"
    return f"stage_{STAGE_NAMES[index].lower()}/{name}"


def _stage_models(draft: BundleDraft) -> dict[str, bytes]:
    return {
        _model_path(index, precision): source if isinstance(source, bytes) else source.read_bytes()
        for index, stage in enumerate(draft.stages)
        for precision, source in stage.models.items()
    }


def _open_stages(draft: BundleDraft, models: Mapping[str, bytes]) -> dict[str, list[CascadeStage]]:
    """Engine and precision -> the open stages, for every certificate; at least one entry."""
    wanted = [(entry.engine, entry.precision) for entry in draft.certificates]
    return {
        f"{engine}/{precision}": [
            CascadeStage(
                stage.preprocess,
                open_model(
                    models[_model_path(index, precision)],
                    image_size=stage.preprocess.size,
                    output=stage.output,
                    engine=engine,
                    precision=precision,
                ),
                stage.macs,
            )
            for index, stage in enumerate(draft.stages)
        ]
        for engine, precision in wanted or [(DEFAULT_ENGINE, DEFAULT_PRECISION)]
    }


def _golden_cases(
    draft: BundleDraft, stages: Mapping[str, list[CascadeStage]]
) -> tuple[tuple[GoldenCase, ...], dict[str, bytes]]:
    if not draft.golden_candidates:
        raise ValueError("golden_candidates is empty; a bundle needs at least one image with a known outcome")
    points = {entry.key: entry.operating_point for entry in draft.certificates}
    abstaining = OperatingPoint(tuple(StageRule() for _ in draft.stages))
    runners = {key: CascadeRunner(opened, points.get(key, abstaining)) for key, opened in stages.items()}
    first = next(iter(runners.values()))
    rows = choose(
        [candidate.label for candidate in draft.golden_candidates],
        first.decide([candidate.data for candidate in draft.golden_candidates]),
    )
    chosen = [draft.golden_candidates[row] for row in rows]
    expected = {key: expectations([c.data for c in chosen], runner) for key, runner in runners.items()}
    images = {
        f"golden/{index:03d}.{_SUFFIXES[read_header(candidate.data).format]}": candidate.data
        for index, candidate in enumerate(chosen)
    }
    cases = tuple(
        GoldenCase(
            file=file,
            label=candidate.label,
            expected={key: outcomes[index] for key, outcomes in expected.items()},
        )
        for index, (file, candidate) in enumerate(zip(images, chosen, strict=True))
    )
    return cases, images


def _extra(draft: BundleDraft, own: Mapping[str, FileSource]) -> Mapping[str, FileSource]:
    for path in draft.extra:
        if path in own or path == MANIFEST_FILE:
            raise ValueError(f"extra holds {path!r}, which the bundle writes itself")
        try:
            _BUNDLE_PATH.validate_python(path)
        except ValidationError as error:
            raise ValueError(f"extra holds {path!r}: {error.errors()[0]['msg']}") from error
    return draft.extra


def _cards(draft: BundleDraft) -> dict[str, bytes]:
    return {
        "README.md": model_card(draft).encode(),
        "config.json": model_config(draft),
        "preprocessor_config.json": preprocessor_config(draft.stages[-1].preprocess),
    }


def _reference(draft: BundleDraft) -> dict[str, bytes]:
    return {} if draft.reference is None else {REFERENCE_FILE: draft.reference}


def _manifest(
    draft: BundleDraft,
    opened: list[CascadeStage],
    golden: tuple[GoldenCase, ...],
    records: dict[str, FileRecord],
) -> BundleManifest:
    for name, stage in zip(STAGE_NAMES, opened, strict=False):
        if stage.model.classes != len(draft.classes):
            raise ValueError(
                f"stage {name} has {stage.model.classes} classes; the draft names {len(draft.classes)}"
            )
    stated = any(entry.certificate.prevalence for entry in draft.certificates)
    return BundleManifest(
        schema_version=SCHEMA_VERSION if stated else USUAL_SCHEMA,
        name=draft.name,
        version=_UNSEALED,
        created_at=draft.created_at,
        task=draft.task,
        classes=draft.classes,
        stages=tuple(
            StageSpec(
                name=STAGE_NAMES[index],
                models={precision: _model_path(index, precision) for precision in stage.models},
                preprocess=stage.preprocess,
                output=stage.output,
                has_gate=opened[index].model.has_gate,
                macs=stage.macs,
                parameters=stage.parameters,
            )
            for index, stage in enumerate(draft.stages)
        ),
        certificates=draft.certificates,
        golden=golden,
        golden_tolerances={
            key: TOLERANCES.get(key.rpartition("/")[2], OTHER_ENGINE_TOLERANCE) for key in golden[0].expected
        },
        evaluation=dict(draft.evaluation),
        provenance=draft.provenance,
        files=records,
        audits=dict(draft.audits),
        reference=None if draft.reference is None else REFERENCE_FILE,
    )


def _write_file(path: Path, source: FileSource) -> FileRecord:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = source if isinstance(source, bytes) else source.read_bytes()
    try:
        with path.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        # A full disk tells which operation failed, but not on which file.
        error.filename = error.filename or str(path)
        raise
    return FileRecord(sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def _read_back(scratch: Path, manifest: BundleManifest) -> None:
    """Raise ValueError for a bundle that a reader would refuse, before it is put in place."""
    try:
        found = verify_bundle(scratch)
    except BundleTampered as error:
        raise ValueError(f"the draft has a value that JSON cannot hold: {error.why}") from error
    if found != manifest:
        raise ValueError("the draft has a value that does not read back from JSON as it is")


def _sync_folders(top: Path) -> None:
    for folder, _, _ in os.walk(top):
        sync_folder(Path(folder))


def _put_in_place(scratch: Path, folder: Path) -> None:
    """Rename `scratch` to `folder`; an older bundle is moved aside first, and moved back if that fails."""
    aside = scratch.with_suffix(".old")
    older = folder.exists()
    if older:
        folder.rename(aside)
    try:
        scratch.rename(folder)
    except OSError:
        if older:
            aside.rename(folder)
        raise
    sync_folder(folder.parent)
    if older:
        shutil.rmtree(aside)
