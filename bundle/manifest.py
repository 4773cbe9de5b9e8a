"""The manifest of a bundle, `bundle.json`, in one canonical text.

A manifest has exactly one spelling in bytes, and its version is a digest of that spelling; so any changed
byte is detected, whether or not it changes the meaning.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Final, Literal, NoReturn, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    model_validator,
)

from bundle.choices import OutputKind
from bundle.engines.contract import DEFAULT_PRECISION, file_precision
from bundle.errors import BundlePackageError
from bundle.images.preprocess import PreprocessSpec, decode_target
from bundle.policy import CertificateEntry, KeyPart
from calibration.decision import STAGE_NAMES, DecisionKind, OperatingPoint, StageName, StageRule
from calibration.sequential.audits import AuditCurve

SCHEMA_VERSION: Final = 4
"""Increased whenever an older reader would misinterpret or refuse a bundle. Version 2 adds audit curves and
the reference of the drift signals, version 3 the circumstances of its making, version 4 a promise for an
interval of the prevalence; bundles of earlier versions are read as bundles without them."""

USUAL_SCHEMA: Final = 3
"""Version of a bundle without a promise for an interval, so that older readers take it"""

MANIFEST_FILE = "bundle.json"
REFERENCE_FILE: Final = "reference.json"
MAX_MANIFEST_BYTES = 8 * 2**20


class BundleError(BundlePackageError):
    """A bundle cannot be used; `file` is the offending file, relative to the folder of the bundle."""

    def __init__(self, file: str, why: str) -> None:
        super().__init__(f"{file}: {why}")
        self.file = file
        self.why = why


class BundleTampered(BundleError):
    """The folder is not, byte for byte, the bundle that was written, or the bundle contradicts itself."""


class BundleTooNew(BundleError):
    """The bundle has a later schema version than this program reads."""


_SUFFIXES = "onnx|json|md|txt|yaml|csv|png|jpg|webp|svg|safetensors|parquet"
BundlePath = Annotated[
    str,
    StringConstraints(
        max_length=200,
        pattern=rf"^([A-Za-z0-9_][A-Za-z0-9_.-]*/)*[A-Za-z0-9_][A-Za-z0-9_.-]*\.({_SUFFIXES})$",
    ),
]
"""A path inside the bundle: plain names separated by `/`; no hidden file, no `..`, no pickle."""

PlainText = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f]*$")]
"""Text that may be shown on a terminal: no control characters except line ends."""
ClassName = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
FigureName = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRecord(_Record):
    """One file of the bundle."""

    sha256: Digest
    size: Count


class StageSpec(_Record):
    """One stage: its model, its input and its output."""

    name: StageName
    models: dict[KeyPart, BundlePath]
    """Precision -> ONNX file; `fp32` is always present. See `file_for`."""
    preprocess: PreprocessSpec
    output: OutputKind
    has_gate: bool
    macs: Annotated[Finite, Field(ge=0.0)]
    """Multiply-accumulates per image."""
    parameters: Count

    @property
    def file(self) -> str:
        """The model at full precision."""
        return self.models[DEFAULT_PRECISION]

    def file_for(self, precision: str) -> str | None:
        """The model to open for `precision`, None if there is none; bf16 is derived from the fp32 model."""
        return self.models.get(file_precision(precision))

    @model_validator(mode="after")
    def _has_full_precision(self) -> Self:
        if DEFAULT_PRECISION not in self.models:
            raise ValueError(f"models has {sorted(self.models)}; {DEFAULT_PRECISION!r} must be among them")
        return self


class GoldenDecision(_Record):
    """The decision expected on a golden case."""

    decision: DecisionKind
    label: Count | None
    stage: StageName


class GoldenExpectation(_Record):
    """The outcome that one engine computed for a golden image when the bundle was written."""

    probabilities: tuple[tuple[Probability, ...], ...]
    """[stages][K], softmax of the raw logits"""
    gates: tuple[Probability | None, ...]
    """[stages], sigmoid of the raw gate logit"""
    decision: GoldenDecision | None
    """None if the case lies too near a threshold to expect the same decision on another machine."""


class GoldenCase(_Record):
    """An image with its expected outcome per engine and precision (`onnxruntime-cpu/fp32`)."""

    file: BundlePath
    label: Count | None
    """The true label; None if it is unknown."""
    expected: dict[str, GoldenExpectation]


class GitState(_Record):
    """Revision of a git repository."""

    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40,64}$")]
    dirty: bool | None
    """Whether a tracked file differed from the revision; None if git did not say"""


class BuildRecord(_Record):
    """Circumstances of one command that made the bundle."""

    command: Annotated[tuple[PlainText, ...], Field(max_length=200)] = ()
    """The command line without secrets; empty if a program called demur"""
    folder: GitState | None = None
    """The repository of the working folder; None if it was in none"""
    demur: GitState | None = None
    """The repository that demur was installed from; None if it came as a package"""
    packages: dict[str, str] = {}
    """Installed package -> version"""


class Provenance(_Record):
    """The origin of the bundle; not needed for serving."""

    source: PlainText = ""
    """The data set, described in one line."""
    config: dict[str, JsonValue] = {}
    data_digests: dict[str, str] = {}
    split_digests: dict[str, str] = {}
    versions: dict[str, str] = {}
    """Versions of the libraries that were used."""
    seed: int | None = None
    notices: tuple[PlainText, ...] = ()
    """Facts for a reader of the certificate: "column 'drive' looks like a group, was not used"."""
    builds: Annotated[tuple[BuildRecord, ...], Field(max_length=100)] = ()
    """The command that trained, and, if it was another, the one that wrote the bundle"""


class BundleManifest(_Record):
    """The whole of `bundle.json`."""

    schema_version: Literal[1, 2, 3, 4] = USUAL_SCHEMA
    name: KeyPart
    version: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    """Digest of everything else in this manifest, and so of every file."""
    created_at: AwareDatetime
    task: PlainText
    classes: Annotated[tuple[ClassName, ...], Field(min_length=2)]
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1, max_length=2)]
    certificates: tuple[CertificateEntry, ...]
    golden: tuple[GoldenCase, ...]
    golden_tolerances: dict[str, Probability]
    """Engine and precision -> largest accepted difference of a golden probability."""
    evaluation: dict[FigureName, Finite]
    """Figures of the report on val_test, for example `stage_a_share`."""
    provenance: Provenance
    files: dict[BundlePath, FileRecord]
    """Every file of the folder except this one."""
    audits: dict[str, tuple[AuditCurve, ...]] = {}
    """Engine and precision -> for each stage, how much likelier than on average an answer is audited at its
    confidence. Without a curve all answers are equally likely."""
    reference: BundlePath | None = None
    """The drift signals of val_select, with which production is compared; None: drift is off."""

    @property
    def decode_target(self) -> tuple[int, int]:
        """(height, width) to decode images for."""
        return decode_target(stage.preprocess for stage in self.stages)

    @property
    def named_task(self) -> str | None:
        """The reference task that the training's configuration names; None for any other."""
        task = self.provenance.config.get("task")
        return task if isinstance(task, str) else None

    @property
    def stage_a_share(self) -> float | None:
        """Share of the answers on val_test that stage A gave; None if it was not measured."""
        return self.evaluation.get("stage_a_share")

    def entry(self, key: str) -> CertificateEntry | None:
        """The certificate for the engine and precision `key`, if there is one."""
        return next((entry for entry in self.certificates if entry.key == key), None)

    def abstaining_point(self) -> OperatingPoint:
        """The policy without a certificate: every stage is computed, no image is answered."""
        return OperatingPoint(tuple(StageRule() for _ in self.stages))

    @model_validator(mode="after")
    def _matches_itself(self) -> Self:
        names = tuple(stage.name for stage in self.stages)
        if names != STAGE_NAMES[: len(names)]:
            raise ValueError(f"stages are named {names}; they must be {STAGE_NAMES[: len(names)]}")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes {self.classes} are not all different")
        referenced = [file for stage in self.stages for file in stage.models.values()]
        referenced += [case.file for case in self.golden]
        for file in referenced:
            if file not in self.files:
                raise ValueError(f"{file} is referred to, but is not among the files")
        keys = [entry.key for entry in self.certificates]
        if len(set(keys)) != len(keys):
            raise ValueError(f"two certificates for one engine and precision: {keys}")
        for entry in self.certificates:
            self._check_entry(entry)
        self._check_monitoring()
        return self

    def _check_entry(self, entry: CertificateEntry) -> None:
        rules = entry.operating_point.stages
        if len(rules) != len(self.stages):
            raise ValueError(f"{entry.key}: {len(rules)} stage rules for {len(self.stages)} stages")
        for stage, rule in zip(self.stages, rules, strict=True):
            if stage.file_for(entry.precision) is None:
                raise ValueError(f"{entry.key}: stage {stage.name} has no model at {entry.precision}")
            if rule.score == "gate" and not stage.has_gate:
                raise ValueError(f"{entry.key}: stage {stage.name} has no gate to score with")

    def _check_monitoring(self) -> None:
        if self.reference is not None and self.reference not in self.files:
            raise ValueError(f"{self.reference} is referred to, but is not among the files")
        for key, curves in self.audits.items():
            if self.entry(key) is None:
                raise ValueError(f"audits has curves for {key}, which has no certificate")
            if len(curves) != len(self.stages):
                raise ValueError(f"audits: {len(curves)} curves of {key} for {len(self.stages)} stages")
        if self.schema_version == 1 and (self.audits or self.reference is not None):
            raise ValueError("audits and reference came with schema version 2; this is version 1")
        if self.schema_version < 3 and self.provenance.builds:
            raise ValueError(f"builds came with schema version 3; this is version {self.schema_version}")
        if self.schema_version < 4 and any(one.certificate.prevalence for one in self.certificates):
            raise ValueError(f"prevalence came with schema version 4; this is version {self.schema_version}")


def canonical_bytes(manifest: BundleManifest) -> bytes:
    """The one spelling of `manifest`: sorted keys, one space of indent, UTF-8, a newline at the end."""
    return _canonical(_content(manifest))


def sealed(manifest: BundleManifest) -> BundleManifest:
    """The same manifest with its version set to the digest of its content."""
    return manifest.model_copy(update={"version": _version(_content(manifest))})


def parse_manifest(data: bytes) -> BundleManifest:
    """Read `bundle.json`. Raises BundleTooNew for a later schema, and BundleTampered for any other fault."""
    try:
        content = json.loads(data, parse_constant=_refuse_constant)
        spelling = _canonical(content)
    except (ValueError, RecursionError) as error:
        raise BundleTampered(MANIFEST_FILE, f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BundleTampered(MANIFEST_FILE, "not a JSON object")
    schema = content.get("schema_version")
    if type(schema) is not int or schema < 1:
        raise BundleTampered(MANIFEST_FILE, f"schema_version is {schema!r}; it must be a positive number")
    if schema > SCHEMA_VERSION:
        raise BundleTooNew(
            MANIFEST_FILE,
            f"schema version {schema}; this demur reads up to {SCHEMA_VERSION}: install a newer one",
        )
    if spelling != data:
        raise BundleTampered(MANIFEST_FILE, "not in canonical form: it was edited after it was written")
    try:
        manifest = BundleManifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the manifest"
        raise BundleTampered(MANIFEST_FILE, f"{place}: {first['msg']}") from error
    if manifest.version != _version(content):
        raise BundleTampered(MANIFEST_FILE, f"its content is not that of version {manifest.version}")
    return manifest


def _content(manifest: BundleManifest) -> dict[str, Any]:
    """The manifest in plain values; one of an earlier version without the fields that it did not have."""
    content = manifest.model_dump(mode="json")
    if manifest.schema_version < 3:
        del content["provenance"]["builds"]
    if manifest.schema_version < 2:
        del content["audits"], content["reference"]
    return content


def _version(content: dict[str, Any]) -> str:
    """16 hex digits of the sha256 of everything except the version itself."""
    unversioned = {name: value for name, value in content.items() if name != "version"}
    return hashlib.sha256(_canonical(unversioned)).hexdigest()[:16]


def _canonical(content: Any) -> bytes:
    text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
