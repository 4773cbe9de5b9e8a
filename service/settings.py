"""Settings of the service: from arguments first, then from the environment (DEMUR_*)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from bundle.choices import EngineName, PrecisionName, SignatureMode
from bundle.selection.choice import EnginePreference
from bundle.signing.keys import KeyUnusable
from bundle.signing.policy import MAX_TRUSTED_KEYS, SignaturePolicy
from monitoring.promise.terms import Missing, WatchOptions
from monitoring.windows.snapshot import REWARD_SIZES
from monitoring.windows.unit_windows import ItemTimes
from service.choices import LogFormat, LogLevel, LogStreamName
from service.environment import PREFIX, SECRETS, values_of, variable_of
from service.errors import SettingsError
from service.logs.setup import LogOptions
from service.tokens import MIN_LENGTH, FeedbackToken, read_feedback_tokens, token_fault

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
WindowSize = Annotated[int, Field(ge=1, le=100_000)]

NO_STORE: Final = "off"
"""Value of `redis_url` for a service without a store."""
_STORE_SCHEMES: Final = ("redis://", "rediss://", "unix://")
_NO_BUNDLE: Final = Path("of-the-registry")
"""Stands for the champion until the registry was asked"""
MAX_CHALLENGERS: Final = 4
"""Challengers beside the champion at a time."""
MAX_WINDOWS: Final = 6
"""Sizes of rolling windows at a time."""


class ChallengerSettings(BaseModel):
    """A challenger beside the champion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the units that it answers; None: a shadow, which answers nothing."""


class Settings(BaseModel):
    """All settings of one service. The environment variable of `x_y` is DEMUR_X_Y."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    _store_note: str | None = PrivateAttr(None)

    bundle: Path
    """Folder of the bundle to serve; with `registry`, the fleet's champion serves instead."""
    registry: str | None = None
    """Registry whose fleet is followed: a folder, file:///FOLDER or s3://BUCKET/PREFIX; None: none is."""
    follow: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9._-]{0,63}/)?champion$")] = "champion"
    """What is followed in it: `FLEET/champion`, or `champion` if the registry has one fleet."""
    keep_previous: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3600.0
    """Seconds for which a former champion of the fleet stays open, so that going back is a swap; 0: none."""
    service_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,100}$")] | None = None
    """Name of this service in the reports to its fleet, which no other has; None: host and a random part."""
    host: str = "127.0.0.1"
    """Address of the public port; `0.0.0.0`: every network of the machine."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """Public port; 0: any free port."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Worker processes. They share the port, the embedded Valkey and the metrics."""
    cores: Count | None = None
    """Images computed at a time per worker; None: the machine's cores, divided among the workers."""
    engine: Literal["auto", EngineName] = "auto"
    """Inference engine; auto: the fastest installed one on which the bundle is certified."""
    precision: Literal["auto", PrecisionName] = "auto"
    """Precision of the inference; auto: the fastest certified one. An uncertified one answers nothing."""
    batch: Annotated[int, Field(ge=1, le=256)] | None = None
    """Maximum number of images per batch of a stage; None: the fastest size on this machine, timed once."""

    admin_port: Annotated[int, Field(ge=0, le=65_535)] | None = None
    """Private port on `admin_host` for changing bundles; None: no such port; 0: any free port."""
    admin_host: str = "127.0.0.1"
    """Address of the private port."""
    admin_token: Annotated[str, Field(min_length=MIN_LENGTH)] | None = Field(default=None, repr=False)
    """Token that every admin request must carry as `Authorization: Bearer TOKEN`."""
    bundles: Path | None = None
    """Folder of the bundles that may be activated, by name; None: the parent folder of `bundle`."""

    signatures: SignatureMode = "off"
    """Whether a bundle must be signed by one of `trusted_keys`: `require` refuses any other wherever one is
    opened, `warn` says so in the log and in /health, `off` checks nothing."""
    trusted_keys: Annotated[tuple[Path, ...], Field(max_length=MAX_TRUSTED_KEYS)] = ()
    """Files of public keys, or of certificates that issue those of signers, as PEM, separated by commas."""

    prepare_timeout: Seconds = 120.0
    """Seconds for a bundle to be verified, loaded and tried before a change; beyond them it is refused."""

    redis_url: str | None = None
    """Store of the rolling windows; None: `serve` starts an embedded Valkey in `data_dir`; "off": none."""
    data_dir: Path = Path("demur-data")
    """Folder of the event log and of the embedded Valkey's data."""
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    """Name of the windows in the store; None: the name of the bundle at start."""
    windows: Annotated[tuple[WindowSize, ...], Field(min_length=1, max_length=MAX_WINDOWS)] = REWARD_SIZES
    """Sizes of the rolling windows, up to six from 1 to 100,000, separated by commas. Other sizes than before
    are filled from the event log."""
    redis_timeout: Seconds = 1.0
    """Seconds for one reply of the store."""
    prediction_ttl: Seconds = 7 * 86_400.0
    """Seconds for which a prediction waits for its label."""
    parked_ttl: Seconds = 86_400.0
    """Seconds for which a label waits for its prediction."""
    events_kept: Count = 50_000
    """Maximum number of events in memory while neither the log nor the store takes them."""
    event_log: bool = True
    """Whether events are kept on disk, in `data_dir`, so that a store that lost its data gets them again."""
    event_log_bytes: Annotated[int, Field(ge=2**16)] = 256 * 2**20
    """Size of one worker's log; the oldest events make room for the newest."""
    event_log_days: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    """Days for which events are kept."""

    max_image_bytes: Count = 20 * 2**20
    """Size of one encoded image."""
    max_pixels: Count = 36_000_000
    """Width times height of one image."""
    max_batch_images: Count = 64
    """Number of images of one batch request."""
    max_batch_bytes: Count = 64 * 2**20
    """Size of one /predict/batch or /v2 body, as sent."""
    max_header_bytes: Count = 32 * 2**10
    """Size of a request's head: request line and headers."""
    header_timeout: Seconds = 10.0
    """Seconds for a request's head to arrive."""
    body_timeout: Seconds = 30.0
    """Seconds for a request's body to arrive."""
    queue_limit: Count = 128
    """Maximum number of queued images per worker; beyond it requests are refused at once."""
    deadline: Seconds = 30.0
    """Longest time, in seconds, from a request to its answer; X-Deadline-Ms may shorten it."""
    compute_timeout: Seconds = 10.0
    """Seconds that a bundle may compute on one image; a worker with a longer computation is replaced."""

    quota_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Images and labels per second that one client may send, over all workers; None: no quota."""
    quota_burst: Count = 20
    """Images and labels that a client may send at once after a pause."""
    quota_clients: Count = 10_000
    """Number of clients told apart at a time; beyond it some share a quota."""

    live_listeners: Annotated[int, Field(ge=0, le=1000)] = 32
    """Maximum number of clients that listen to /live, per worker; the page of a further one asks every other
    second."""

    challengers: Annotated[tuple[ChallengerSettings, ...], Field(max_length=MAX_CHALLENGERS)] = ()
    """Bundles beside `bundle`, as FOLDER=SHARE or FOLDER=shadow, separated by commas."""
    experiment: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "default"
    """Name of the comparison; another name assigns the units to the bundles independently."""
    experiment_salt: str = ""
    """Salt of the assignment, so that no client can choose a bundle by the name of a unit."""
    shadow_images: Count = 32
    """Maximum number of images that wait for the shadows, per worker; further ones are shed."""
    shadow_bytes: Count = 32 * 2**20
    """Bytes of memory for the images that wait for the shadows, per worker."""

    feedback_tokens: tuple[FeedbackToken, ...] = Field(default=(), repr=False)
    """Tokens of those who may send labels, as NAME=TOKEN, separated by commas; empty: everybody may."""
    trust_open_labels: bool = False
    """Whether alarms, fallbacks and roll-backs may follow from labels that everybody may send."""
    drift_images: Annotated[int, Field(ge=0)] = 500
    """Images per hour that are looked at for drift, over all workers, in spare time; 0: none."""
    drift_false_alarms: Annotated[float, Field(ge=0.01, le=1)] = 0.05
    """False alarms of drift per week that are accepted, all tests together; 0.05: one in twenty weeks."""
    drift_season: Annotated[int, Field(ge=0, le=8)] = 0
    """Earlier weeks whose same hours drift is compared with; 0: the bundle's reference."""

    audit_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the answers that ask for a label, at most one per unit and `audit_gap`, drawn at random."""
    audit_gap: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 600.0
    """Seconds in which the frames of one unit count once in the audits and the monitors."""
    audit_wait: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 7 * 86_400.0
    """Seconds after an answer within which the label of its audit must be sent."""
    missing_audits: Missing = "wrong"
    """What an audit does whose label never comes: it counts as wrong, or the monitor holds before it."""
    on_broken_promise: Literal["alert", "abstain", "previous"] = "alert"
    """What follows from a broken promise: an alert; no answers of the bundle; or the bundle before it."""
    baseline_risk: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Risk above which a bundle counts as worse until its first 5,000 audits are a baseline; None: silent."""
    alerts: Path | None = None
    """File of the alert rules: what is watched and who is told when; None: the built-in rules, shown only."""
    drain: Annotated[float, Field(ge=0)] = 0.5
    """Seconds between "not ready" and the closing of the port, for load balancers to notice."""
    stop_timeout: Seconds = 20.0
    """Seconds after that for accepted requests to finish and for events to be delivered."""
    log_level: LogLevel = "info"
    """Least severe level that is written."""
    log_format: LogFormat = "auto"
    """json: JSON lines; text: warnings and errors for people, and the JSON lines in a file; auto: text where
    `demur serve` runs with `log_stream` on a terminal, else json."""
    log_stream: LogStreamName = "stderr"
    """Stream of the JSON lines, or of the lines for people beside a file."""
    log_file: Path | None = None
    """File of the JSON lines; None: `service.jsonl` in `data_dir` beside text, else the stream."""
    log_bytes: Annotated[int, Field(ge=2**16)] = 64 * 2**20
    """Size of that file; a full one becomes NAME.1, an earlier one NAME.2 and so on."""
    log_files: Annotated[int, Field(ge=2, le=1000)] = 2
    """Number of these files, the one that fills included; the oldest makes room."""

    @field_validator("windows", mode="before")
    @classmethod
    def _parse_windows(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return [text.strip() for text in value.split(",") if text.strip()]

    @field_validator("windows")
    @classmethod
    def _order_windows(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(value)))

    @field_validator("trusted_keys", mode="before")
    @classmethod
    def _parse_trusted_keys(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return [Path(text.strip()).expanduser() for text in value.split(",") if text.strip()]

    @field_validator("challengers", mode="before")
    @classmethod
    def _parse_challengers(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return [_challenger(text) for text in value.split(",") if text.strip()]

    @field_validator("challengers")
    @classmethod
    def _check_shares(cls, value: tuple[ChallengerSettings, ...]) -> tuple[ChallengerSettings, ...]:
        total = sum(challenger.share or 0.0 for challenger in value)
        if total > 1 + 1e-9:
            raise ValueError(f"the shares are {total:g} in sum; they must be at most 1")
        return value

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None, **arguments: Any) -> Self:
        """Settings from `arguments` (None counts as not given) and DEMUR_* variables.

        Raises SettingsError, which names each faulty setting, its value and its source.
        """
        environment = os.environ if environment is None else environment
        given = {name: value for name, value in arguments.items() if value is not None}
        found = values_of(environment, (name for name in cls.model_fields if name not in given))
        if "registry" in {**given, **found}:
            # The registry says which bundle serves; an image of a container may have set one for all cases.
            found["bundle"] = str(_NO_BUNDLE)
        try:
            settings = cls.model_validate({**found, **given})
        except ValidationError as error:
            faults = [_fault(fault, found) for fault in error.errors()]
            raise SettingsError("; ".join(faults)) from None
        if settings.admin_port is not None and settings.admin_token is None:
            raise SettingsError(
                f"admin_port is set, but no token; give it as {PREFIX}ADMIN_TOKEN, {MIN_LENGTH} characters "
                "or more"
            )
        if settings.admin_token in [one.token for one in settings.feedback_tokens]:
            raise SettingsError(
                f"{PREFIX}FEEDBACK_TOKENS holds the token of the private port, so a sender of labels could "
                "change bundles; give labels tokens of their own"
            )
        settings._require_trusted_keys()
        settings._require_followable()
        return settings

    def _require_followable(self) -> None:
        """Raise SettingsError if a registry is followed, and something else says what serves."""
        if self.registry is None:
            return
        if self.challengers:
            raise SettingsError(
                f"{PREFIX}CHALLENGERS is set, and {PREFIX}REGISTRY as well: a fleet that follows a registry "
                "has its challengers there; leave one of them out"
            )
        if (fleet := self.followed_fleet) is not None:
            self.require_model_of(fleet)

    @property
    def followed_fleet(self) -> str | None:
        """Name of the fleet that is followed; None if the registry has to say it."""
        return self.follow.rpartition("/")[0] or None

    def require_model_of(self, fleet: str) -> None:
        """Raise SettingsError if the windows have another name than the fleet whose services share them."""
        if self.model not in (None, fleet):
            raise SettingsError(
                f"{PREFIX}MODEL is {self.model!r}, and the fleet is {fleet!r}: the services of a fleet count "
                f"in windows of one name; leave {PREFIX}MODEL out, or set it to {fleet}"
            )

    def name_in_fleet(self) -> str:
        """Name of this service in its reports; another one at each call if none is set."""
        return self.service_name or f"{socket.gethostname()[:80]}-{token_hex(3)}"

    def _require_trusted_keys(self) -> None:
        """Raise SettingsError if signatures are checked and a key is missing or is no key."""
        trust = self.trust()
        if trust is None:
            return
        if not trust.keys:
            raise SettingsError(
                f"signatures is {self.signatures!r}, but no key is trusted; name the files of public keys or "
                f"certificates in {PREFIX}TRUSTED_KEYS, or set {PREFIX}SIGNATURES=off"
            )
        try:
            trust.trusted_keys()
        except KeyUnusable as error:
            raise SettingsError(f"{PREFIX}TRUSTED_KEYS: {error}") from None

    @field_validator(
        *(
            "engine",
            "precision",
            "log_level",
            "log_format",
            "log_stream",
            "missing_audits",
            "on_broken_promise",
        ),
        mode="before",
    )
    @classmethod
    def _ignore_case(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        word = value.strip().lower()
        return "warning" if word == "warn" else word

    @field_validator("signatures", mode="before")
    @classmethod
    def _read_signatures(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("batch", mode="before")
    @classmethod
    def _read_batch(cls, value: Any) -> Any:
        return None if isinstance(value, str) and value.strip().lower() == "auto" else value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str | None) -> str | None:
        if value is None or value.lower() == NO_STORE:
            return None if value is None else NO_STORE
        if not value.startswith(_STORE_SCHEMES):
            raise ValueError(f"the store is at {', '.join(_STORE_SCHEMES)} or {NO_STORE!r}")
        return value

    @field_validator("admin_token", mode="before")
    @classmethod
    def _strip_token(cls, value: Any) -> Any:
        # A file or a Kubernetes secret often ends with a line end, which no client can send.
        return value.strip() if isinstance(value, str) else value

    @field_validator("admin_token")
    @classmethod
    def _check_token(cls, value: str | None) -> str | None:
        if value is not None and (fault := token_fault(value)) is not None:
            raise ValueError(fault)
        return value

    @field_validator("feedback_tokens", mode="before")
    @classmethod
    def _read_feedback_tokens(cls, value: Any) -> Any:
        return read_feedback_tokens(value) if isinstance(value, str) else value

    @field_validator("bundle", "bundles", "data_dir", "log_file", "alerts")
    @classmethod
    def _expand_home(cls, value: Path | None) -> Path | None:
        # No shell expands the ~ of a variable in a container file.
        return value if value is None or value.parts[:1] != ("~",) else value.expanduser()

    def with_embedded_store(self, url: str, note: str | None) -> Self:
        """The settings of a service that runs its store itself; `note`: what is to be said of that."""
        changed = self.model_copy(update={"redis_url": url})
        changed._store_note = note
        return changed

    @property
    def store_note(self) -> str | None:
        """What a person should know of the store, in a sentence; None: nothing."""
        return self._store_note

    def engine_preference(self) -> EnginePreference:
        """The requested engine, precision and batch size."""
        return EnginePreference(self.engine, self.precision, self.batch)

    def item_times(self) -> ItemTimes:
        """The times by which frames become items of the monitors."""
        return ItemTimes(self.audit_gap, self.audit_wait)

    @property
    def labels_may_act(self) -> bool:
        """Whether something may be done automatically on account of labels: an alarm of the promise, a
        fallback, a roll-back. Everything of that kind asks here."""
        return bool(self.feedback_tokens) or self.trust_open_labels

    def trust(self) -> SignaturePolicy | None:
        """The policy of signatures; None: none is checked."""
        return None if self.signatures == "off" else SignaturePolicy(self.signatures, self.trusted_keys)

    def watch_options(self) -> WatchOptions:
        """What the monitors of the promise need."""
        return WatchOptions(
            self.audit_share, self.audit_gap, self.audit_wait, self.missing_audits, self.baseline_risk
        )

    def log_options(self) -> LogOptions:
        """Level, form and place of the log."""
        text = self.log_format == "text"
        file = self.log_file or (self.data_dir / "service.jsonl" if text else None)
        return LogOptions(self.log_level, text, self.log_stream, file, self.log_bytes, self.log_files)

    def cores_per_worker(self) -> int:
        """Number of images computed at a time per worker."""
        return self.cores or max(1, _usable_cores() // self.workers)


def _challenger(text: str) -> dict[str, Any]:
    folder, equals, kind = text.strip().rpartition("=")
    if not equals:
        raise ValueError(f"{text.strip()!r} is neither FOLDER=SHARE nor FOLDER=shadow")
    return {"folder": folder, "share": None if kind.strip().lower() == "shadow" else kind}


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _fault(fault: Any, found: Mapping[str, str]) -> str:
    name = str(fault["loc"][0]) if fault["loc"] else "settings"
    source = variable_of(name) if name in found else name
    if fault["type"] == "missing":
        return f"{name} is not set; give it as an argument or as {variable_of(name)}"
    if fault["type"] == "extra_forbidden":
        return f"{name} is no setting"
    if name in (*SECRETS, "redis_url", "registry"):  # an address may hold a password
        return f"{source}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"
    return f"{source} is {fault['input']!r}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"
