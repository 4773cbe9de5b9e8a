"""The choice of engine, precision and batch sizes for a bundle: the fastest certified ones.

An engine without a certificate is chosen only if it is requested by name, or if no certified one is
available. A bundle that carries its calibration images is then certified on this machine, for one engine
and no other; without them the service answers no image, and reports "not certified here".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bundle.choices import AUTO
from bundle.engines.contract import (
    DEFAULT_ENGINE,
    DEFAULT_KEY,
    ONE_BY_ONE,
    PRECISIONS,
    EngineKey,
    EngineUnavailable,
)
from bundle.engines.installed import require_engine, require_key, runtime_versions, usable, usable_keys
from bundle.manifest import BundleManifest
from bundle.policy import CertificateEntry
from bundle.selection.issued import IssuedCertificates, NotIssued
from bundle.selection.local_certificate import certify_in_subprocess, reserve_of
from bundle.selection.timing import TIMING_SECONDS, StageSeconds, best_batch, time_stages
from bundle.selection.timing_cache import TimingCache, TimingRecord
from bundle.signing.policy import SignaturePolicy
from bundle.system.machine import this_machine
from bundle.system.subprocess_call import SubprocessLost, call_in_subprocess
from bundle.verify import read_manifest

_LEFT_FOR_B = 0.5
"""Assumed share of the images that stage A leaves to stage B, if the bundle does not state it."""
_OPENING_SECONDS = 60.0
"""Bound of the time for opening a bundle's models on one engine and precision, before they are timed."""


@dataclass(frozen=True, slots=True)
class EnginePreference:
    """The engine, precision and batch size that the configuration requests."""

    engine: str = AUTO
    precision: str = AUTO
    batch: int | None = None
    """Images computed together; None: the best size of each stage, by timing."""

    def allows(self, key: EngineKey) -> bool:
        """Whether `key` meets the request."""
        return self.engine in (AUTO, key.engine) and self.precision in (AUTO, key.precision)


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The chosen engine, precision and batch sizes, and the reason."""

    key: EngineKey
    batch_sizes: tuple[int, ...]
    """One per stage."""
    why: str
    seconds: Mapping[EngineKey, tuple[StageSeconds, ...]]
    """The timings: for each stage, batch size -> seconds per image."""
    issued_here: CertificateEntry | None = None
    """The certificate that holds, if it was issued on this machine."""
    not_issued: str | None = None
    """Why a bundle that carries its calibration images was not certified on this engine here."""


def candidates(
    manifest: BundleManifest, preference: EnginePreference, issued_here: Sequence[CertificateEntry] = ()
) -> tuple[EngineKey, ...]:
    """The engines and precisions that may serve `manifest`; the first is preferred without a timing.

    The first non-empty set of: feasible certificates that meet their coverage, feasible ones, any
    certificate, and what this machine can run. Raises EngineUnavailable.
    """
    if preference.engine != AUTO:
        require_engine(preference.engine)
    entries = [
        entry
        for entry in (*manifest.certificates, *issued_here)
        if preference.allows(EngineKey.parse(entry.key)) and usable(EngineKey.parse(entry.key))
    ]
    if preference.batch is not None and preference.batch > 1:
        entries = _computed_together(entries, preference.batch)
    for good_enough in (
        [entry for entry in entries if entry.certificate.feasible and entry.certificate.meets_coverage],
        [entry for entry in entries if entry.certificate.feasible],
        entries[:1],
    ):
        if good_enough:
            return tuple(dict.fromkeys(EngineKey.parse(entry.key) for entry in good_enough))
    return (_uncertified(manifest, preference),)


def choose_engine(
    folder: Path,
    preference: EnginePreference,
    cache: TimingCache,
    issued: IssuedCertificates,
    *,
    seconds: float = TIMING_SECONDS,
    say: Callable[[str], None] = lambda _: None,
    trust: SignaturePolicy | None = None,
) -> EngineChoice:
    """Choose for the bundle in `folder`, by cached timings or, the first time, by timings of `seconds`.

    If no certificate covers the choice and the bundle carries its calibration images, it is certified
    here, once and for one engine, which `issued` records; that takes as long as deciding all of them. The
    choice depends on the preference, the installed engines and the bundle, never on the outcome of a
    certificate that is issued here. Of several processes that share `cache`, one measures and the others
    wait. `trust`: the policy of signatures, since timing already computes the
    models. Raises a BundleError and EngineUnavailable.
    """
    manifest, machine = read_manifest(folder, trust), this_machine(runtime_versions())
    with cache.exclusive():
        record = cache.load(manifest.version, machine)
        local = _issued_here(manifest, issued, say)
        keys = candidates(manifest, preference, local)
        decided = len(keys) == 1 and preference.batch is not None
        untimed = keys[0] if decided else None
        missing = [] if decided else [key for key in keys if str(key) not in record.seconds]
        if missing:
            say(
                f"timing {', '.join(map(str, missing))} for {manifest.name} {manifest.version}, up to "
                f"{seconds:g} s; this is done once per bundle and machine"
            )
            try:
                record = _with_timings(record, _timed(folder, manifest, missing, seconds, say))
            except SubprocessLost as error:
                say(f"the timing was not completed: {error}; the next start tries again")
                untimed = keys[0]
            else:
                cache.save(record)
        choice = _chosen(manifest, preference, keys, record, local, untimed)
        if choice.issued_here is None and manifest.entry(str(choice.key)) is None:
            choice = _certified_here(folder, manifest, choice, issued, say)
    return choice


def _timed(
    folder: Path,
    manifest: BundleManifest,
    keys: Sequence[EngineKey],
    seconds: float,
    say: Callable[[str], None],
) -> Mapping[EngineKey, tuple[StageSeconds, ...]]:
    """The timings, made in a subprocess, so that the memory of the engines that lose is freed."""
    work = partial(time_stages, folder, manifest, keys, seconds=seconds)
    return call_in_subprocess(work, limit=seconds + _OPENING_SECONDS * len(keys), say=say)


def _issued_here(
    manifest: BundleManifest, issued: IssuedCertificates, say: Callable[[str], None]
) -> tuple[CertificateEntry, ...]:
    """The certificate that was issued here for the bundle, if there is one."""
    reserve = reserve_of(manifest)
    if reserve is None:
        return ()
    try:
        claim = issued.read(reserve)
    except NotIssued as error:
        say(str(error))
        return ()
    return () if claim is None or claim.entry is None else (claim.entry,)


def _certified_here(
    folder: Path,
    manifest: BundleManifest,
    choice: EngineChoice,
    issued: IssuedCertificates,
    say: Callable[[str], None],
) -> EngineChoice:
    """The choice with a certificate issued here, if the bundle reserves delta for it; or the reason."""
    reserve = reserve_of(manifest)
    if reserve is None:
        return choice
    try:
        issued.require_free(reserve, choice.key)  # before minutes of scoring
        entry = certify_in_subprocess(
            folder, manifest, choice.key, say, before_labels=partial(issued.claim, reserve, choice.key)
        )
        issued.keep(reserve, entry)
    except NotIssued as error:
        say(f"{choice.key} is not certified here: {error}")
        return replace(choice, not_issued=str(error))
    return replace(choice, issued_here=entry)


def first_choice(manifest: BundleManifest, preference: EnginePreference) -> EngineKey:
    """The engine and precision without timings: the first certificate of the bundle that holds here."""
    return candidates(manifest, preference)[0]


def _computed_together(entries: Sequence[CertificateEntry], batch: int) -> list[CertificateEntry]:
    together = [entry for entry in entries if entry.precision not in ONE_BY_ONE]
    if entries and not together:
        raise EngineUnavailable(
            f"batch is {batch}, but on {', '.join(entry.key for entry in entries)} images are computed one "
            "by one, since their scores would depend on the rest of the batch; leave the batch out, or 1"
        )
    return together


def _uncertified(manifest: BundleManifest, preference: EnginePreference) -> EngineKey:
    """The engine requested by name, or the default one, or any that is available."""
    if AUTO not in (preference.engine, preference.precision):
        key = EngineKey(preference.engine, preference.precision)
        require_key(key)
        return key
    known = {precision for precisions in PRECISIONS.values() for precision in precisions}
    if preference.precision != AUTO and preference.precision not in known:
        raise EngineUnavailable(
            f"precision is {preference.precision!r}; it must be one of {', '.join(sorted(known))}"
        )
    if preference.allows(DEFAULT_KEY) and usable(DEFAULT_KEY):
        return DEFAULT_KEY
    possible = [
        key
        for key in usable_keys()
        if preference.allows(key) and all(stage.file_for(key.precision) for stage in manifest.stages)
    ]
    if not possible:
        require_engine(DEFAULT_ENGINE if preference.engine == AUTO else preference.engine)
        raise EngineUnavailable(
            f"bundle {manifest.name} has no model that can be computed at {preference.precision} here; "
            f"it has {', '.join(sorted(manifest.stages[0].models))}"
        )
    return min(possible, key=lambda key: key.engine != DEFAULT_ENGINE)


def _with_timings(record: TimingRecord, timed: Mapping[EngineKey, tuple[StageSeconds, ...]]) -> TimingRecord:
    fresh = {str(key): tuple(dict(stage) for stage in stages) for key, stages in timed.items()}
    return record.model_copy(update={"seconds": record.seconds | fresh})


def _chosen(
    manifest: BundleManifest,
    preference: EnginePreference,
    keys: Sequence[EngineKey],
    record: TimingRecord,
    local: Sequence[CertificateEntry],
    untimed: EngineKey | None,
) -> EngineChoice:
    """The choice among `keys`; `untimed`: the engine to use if there are no timings, or need be none."""
    seconds = {key: record.seconds[str(key)] for key in keys if str(key) in record.seconds}
    issued = {EngineKey.parse(entry.key): entry for entry in local}
    if not seconds and untimed is None:
        # None of them could be opened; the check of the first may say why.
        require_key(keys[0])
        raise EngineUnavailable(f"none of {', '.join(map(str, keys))} is available here; the log says why")
    key = min(seconds, key=lambda one: seconds_per_image(manifest, one, seconds[one])) if seconds else keys[0]
    if preference.batch is not None:
        batch_sizes: tuple[int, ...] = (preference.batch,) * len(manifest.stages)
    elif key in seconds:
        batch_sizes = tuple(map(best_batch, seconds[key]))
    else:
        batch_sizes = (1,) * len(manifest.stages)
    certified = key in issued or manifest.entry(str(key)) is not None
    if key in seconds or len(keys) == 1:
        why = _why(manifest, preference, key, seconds, certified=certified)
    else:
        why = f"the first of {len(keys)} certified ones, since their timing was not completed"
    return EngineChoice(key, batch_sizes, why, seconds, issued.get(key))


def seconds_per_image(manifest: BundleManifest, key: EngineKey, stages: Sequence[StageSeconds]) -> float:
    """Average seconds per image at each stage's best batch: A computes all images, B those that A leaves."""
    costs = [stage[best_batch(stage)] for stage in stages]
    if len(costs) == 1:
        return costs[0]
    figures = manifest.evaluation
    share = figures.get(f"{key} stage_a_share", figures.get("stage_a_share"))
    coverage = figures.get(f"{key} coverage", figures.get("coverage"))
    left = _LEFT_FOR_B if share is None or coverage is None else 1.0 - share * coverage
    return costs[0] + left * costs[1]


def _why(
    manifest: BundleManifest,
    preference: EnginePreference,
    key: EngineKey,
    seconds: Mapping[EngineKey, tuple[StageSeconds, ...]],
    *,
    certified: bool,
) -> str:
    if AUTO not in (preference.engine, preference.precision):
        return "requested"
    if not certified:
        return "no engine that the bundle is certified on is available here"
    if len(seconds) < 2:
        return "the only one that the bundle is certified on and that is available here"
    others = ", ".join(
        f"{other} {1e3 * seconds_per_image(manifest, other, stages):.2f} ms"
        for other, stages in seconds.items()
        if other != key
    )
    mine = 1e3 * seconds_per_image(manifest, key, seconds[key])
    return f"the fastest of {len(seconds)} certified ones: {mine:.2f} ms an image ({others})"
