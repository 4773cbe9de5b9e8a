"""The record of a run, run.json: with it every later step works without the model or the source."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from pydantic import BaseModel, ConfigDict, ValidationError

from bundle.choices import OutputKind
from bundle.engines.contract import DEFAULT_PRECISION, file_precision
from bundle.images.preprocess import PreprocessSpec
from bundle.manifest import Provenance
from calibration.decision import STAGE_KEYS
from trainer.choices import NamedTask
from trainer.errors import RunError
from trainer.run.digests import MISMATCH, DamagedFile, damage, file_digest
from trainer.run.folder import RunFolder, read_json, write_json
from trainer.run.promise import PromiseConfig

LIBRARIES = ("demur", "numpy", "onnxruntime", "openvino", "peft", "pillow", "scipy", "torch", "transformers")


class StageRecord(BaseModel):
    """One stage of the cascade."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preprocess: PreprocessSpec
    output: OutputKind = "logits"
    macs: float
    """Multiply-accumulates per image; 0 if unknown."""
    parameters: int
    """0 if unknown."""
    epochs: int = 0
    """Epochs trained; 0 if it was not trained here"""
    planned_epochs: int = 0
    threads: tuple[int, ...] = ()
    """Numbers of threads that trained it, in their order"""
    digest: str = ""
    """sha256 of the fp32 ONNX file; empty in records of versions that kept none"""
    further_digests: dict[str, str] = {}
    """Precision -> sha256 of a further ONNX file, that `demur bundle` wrote"""
    cost: float
    """Cost of an image in a unit that the stages share: multiply-accumulates, or seconds."""


class RememberedLedger(BaseModel):
    """What run.json remembers of ledger.json, so that a missing or smaller one is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entries: int
    total: float
    """Delta of all entries together"""
    sentence: str = ""
    """The place of the run's certificates among all on their split, for the bundle"""


class GroupsInDoubt(BaseModel):
    """The question which images belong together, as long as nobody has answered it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    notice: str
    """The question with its figures, for the bundle"""
    doubt: str
    """`Certificate.doubt` of every certificate of the run"""


class RunRecord(BaseModel):
    """One run; its stages in the order A, B."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    task: str
    named_task: NamedTask | None = None
    """The reference task, whose reward the report holds; None for any other"""
    classes: tuple[str, ...]
    stages: tuple[StageRecord, ...]
    promise: PromiseConfig
    provenance: Provenance
    question: GroupsInDoubt | None = None
    """None if groups are named, or if it is said that there are none"""
    ledger: RememberedLedger | None = None
    """None before the first certificate, and in records of versions that kept none"""

    @property
    def doubt(self) -> str | None:
        """Why the images may not be independent, which every certificate states."""
        return None if self.question is None else self.question.doubt

    @property
    def costs(self) -> tuple[float, ...]:
        return tuple(stage.cost for stage in self.stages)


def check_models(record: RunRecord, run: RunFolder, precision: str = DEFAULT_PRECISION) -> None:
    """Raise `DamagedFile` if a stage's ONNX file is not the one that the run wrote at this precision."""
    file = file_precision(precision)
    verb = "demur train" if file == DEFAULT_PRECISION else "demur bundle"
    for name, stage in zip(STAGE_KEYS, record.stages, strict=False):
        path = run.need(run.onnx(name, precision), verb)
        digest = stage.digest if file == DEFAULT_PRECISION else stage.further_digests.get(file, "")
        if digest and file_digest(path) != digest:
            again = "`demur train` (or `demur wrap`)" if file == DEFAULT_PRECISION else "`demur bundle`"
            raise DamagedFile(
                damage(
                    path,
                    f"{MISMATCH} in {run.record.name}",
                    f"restore it from a backup, or run {again} again in this folder",
                )
            )


def same_models(record: RunRecord, run: RunFolder) -> bool:
    """Whether the run's folder holds a record of the same models, as far as it tells: older versions kept no
    digests."""
    if not run.record.is_file():
        return False
    before = read_record(run).stages
    return len(before) == len(record.stages) and all(
        old.digest in ("", new.digest) and old.preprocess == new.preprocess
        for old, new in zip(before, record.stages, strict=True)
    )


def write_record(record: RunRecord, run: RunFolder) -> None:
    """Write run.json. What it remembers of the ledger stays: `remember_ledger` alone changes that."""
    _write(record.model_copy(update={"ledger": remembered_ledger(run)}), run)


def remember_ledger(run: RunFolder, ledger: RememberedLedger) -> None:
    """Note the state of the ledger in run.json, if the run has one."""
    if run.record.is_file():
        _write(read_record(run).model_copy(update={"ledger": ledger}), run)


def remembered_ledger(run: RunFolder) -> RememberedLedger | None:
    """What run.json remembers of the ledger; None without run.json or without a certificate."""
    values = read_json(run.record).get("ledger") if run.record.is_file() else None
    try:
        return None if values is None else RememberedLedger.model_validate(values)
    except ValidationError as error:
        raise RunError(f"{run.record} is damaged at ledger: {error.errors()[0]['msg']}") from None


def _write(record: RunRecord, run: RunFolder) -> None:
    write_json(run.record, record.model_dump(mode="json", exclude=_left_out(record)))


def _left_out(record: RunRecord) -> dict[str, bool | set[str]]:
    """Fields that a record without them does not spell, as in earlier versions."""
    own = {name: True for name in ("question", "ledger", "named_task") if getattr(record, name) is None}
    promise = record.promise
    return {
        **own,
        "promise": {name for name in ("prevalence", "unlabelled") if getattr(promise, name) is None},
    }


def read_record(run: RunFolder) -> RunRecord:
    """The record of a finished run; `RunError` if the folder holds none, or a damaged one."""
    path = run.need(run.record, "demur train")
    try:
        return RunRecord.model_validate(read_json(path))
    except ValidationError as error:
        faults = [(".".join(map(str, one["loc"])), one) for one in error.errors()]
        if all(one["type"] == "extra_forbidden" for _, one in faults):
            names = ", ".join(name for name, _ in faults)
            raise RunError(
                f"{path} has fields that this demur does not know ({names}): a later version wrote it; "
                "install that one, or train again in another folder"
            ) from None
        field, first = faults[0]
        raise RunError(f"{path} is damaged at {field}: {first['msg']}") from None


def library_versions() -> dict[str, str]:
    """Versions of the installed libraries that a run may use."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
