"""Which engine, precision and batch sizes serve a bundle here: the fastest of those it is certified on.

What no certificate covers is only taken where it was asked for by name, or where nothing else can be
had. A bundle that carries its calibration images is then certified here, for one engine and no other;
else the service answers nothing, and says that it is not certified here.
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
from bundle.selection.local_certificate import certify_locally, reserve_of
from bundle.selection.timing import TIMING_SECONDS, StageSeconds, best_batch, time_stages
from bundle.selection.timing_cache import TimingCache, TimingRecord
from bundle.system.machine import this_machine
from bundle.system.subprocess_call import SubprocessLost, call_in_subprocess
from bundle.verify import read_manifest

_LEFT_FOR_B = 0.5
"""Share of the images that stage A is taken to leave, where the bundle does not say."""
_OPENING = 60.0
"""Seconds for opening a bundle's models on one engine and precision, at most, before it is timed."""


@dataclass(frozen=True, slots=True)
class EnginePreference:
    """What whoever starts the service asks for."""

    engine: str = AUTO
    precision: str = AUTO
    batch: int | None = None
    """Images computed together; None: what the probe finds best, stage by stage"""

    def takes(self, key: EngineKey) -> bool:
        return self.engine in (AUTO, key.engine) and self.precision in (AUTO, key.precision)


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What serves, and why."""

    key: EngineKey
    batch_sizes: tuple[int, ...]
    """One a stage"""
    why: str
    seconds: Mapping[EngineKey, tuple[StageSeconds, ...]]
    """What was timed: for each stage, batch size -> seconds an image"""
    issued_here: CertificateEntry | None = None
    """The certificate that holds, where it is not one of the bundle's"""
    not_issued: str | None = None
    """Why a bundle that could be certified here was not, for this engine"""


def candidates(
    manifest: BundleManifest, wish: EnginePreference, issued_here: Sequence[CertificateEntry] = ()
) -> tuple[EngineKey, ...]:
    """The engines and precisions that may serve `manifest`, the one to prefer unseen first.

    Certified and feasible ones that answer as much as was asked for, where there are any; else feasible
    ones, certified ones, and last whatever this machine can run. Raises EngineUnavailable.
    """
    if wish.engine != AUTO:
        require_engine(wish.engine)
    entries = [
        entry
        for entry in (*manifest.certificates, *issued_here)
        if wish.takes(EngineKey.parse(entry.key)) and usable(EngineKey.parse(entry.key))
    ]
    if wish.batch is not None and wish.batch > 1:
        entries = _computed_together(entries, wish.batch)
    for good_enough in (
        [entry for entry in entries if entry.certificate.feasible and entry.certificate.meets_coverage],
        [entry for entry in entries if entry.certificate.feasible],
        entries[:1],
    ):
        if good_enough:
            return tuple(dict.fromkeys(EngineKey.parse(entry.key) for entry in good_enough))
    return (_uncertified(manifest, wish),)


def choose_engine(
    folder: Path,
    wish: EnginePreference,
    memory: TimingCache,
    issued: IssuedCertificates,
    *,
    seconds: float = TIMING_SECONDS,
    say: Callable[[str], None] = lambda _: None,
) -> EngineChoice:
    """Choose for the bundle in `folder`, from what is remembered or, once, from a probe of `seconds`.

    Where nothing certifies the choice and the bundle carries its calibration images, it is certified here,
    once and for one engine, which `issued` remembers; that takes as long as deciding all of them. The
    engine is chosen from the wish, what is installed and what the bundle says, never from what is issued
    here. Of several processes that share `memory` one finds out and the others wait. Raises a BundleError
    for what cannot be read, and EngineUnavailable.
    """
    manifest, machine = read_manifest(folder), this_machine(runtime_versions())
    with memory.one_at_a_time():
        record = memory.load(manifest.version, machine)
        own = _issued_here(manifest, issued, say)
        keys = candidates(manifest, wish, own)
        decided = len(keys) == 1 and wish.batch is not None
        untimed = keys[0] if decided else None
        missing = [] if decided else [key for key in keys if str(key) not in record.seconds]
        if missing:
            say(
                f"timing {', '.join(map(str, missing))} for {manifest.name} {manifest.version}, up to "
                f"{seconds:g} s; this is done once for a bundle on a machine"
            )
            try:
                record = _with_timings(record, _timed(folder, manifest, missing, seconds, say))
            except SubprocessLost as error:
                say(f"the timing was not completed: {error}; the next start tries again")
                untimed = keys[0]
            else:
                memory.save(record)
        choice = _chosen(manifest, wish, keys, record, own, untimed)
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
    """The probe, in a process that takes the memory of all engines that lose along when it ends."""
    work = partial(time_stages, folder, manifest, keys, seconds=seconds)
    return call_in_subprocess(work, limit=seconds + _OPENING * len(keys), say=say)


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
    """The choice with a certificate of its own where the bundle keeps delta for it, or why not."""
    reserve = reserve_of(manifest)
    if reserve is None:
        return choice
    try:
        issued.require_free(reserve, choice.key)  # before minutes of scoring
        entry = certify_locally(
            folder, manifest, choice.key, say, before_labels=lambda: issued.claim(reserve, choice.key)
        )
        issued.keep(reserve, entry)
    except NotIssued as error:
        say(f"{choice.key} is not certified here: {error}")
        return replace(choice, not_issued=str(error))
    return replace(choice, issued_here=entry)


def first_choice(manifest: BundleManifest, wish: EnginePreference) -> EngineKey:
    """The engine and precision without any timing: the bundle's first certificate that holds here."""
    return candidates(manifest, wish)[0]


def _computed_together(entries: Sequence[CertificateEntry], batch: int) -> list[CertificateEntry]:
    together = [entry for entry in entries if entry.precision not in ONE_BY_ONE]
    if entries and not together:
        raise EngineUnavailable(
            f"batch is {batch}, but on {', '.join(entry.key for entry in entries)} images are computed one "
            "by one, since their scores would depend on their company; leave the batch out, or 1"
        )
    return together


def _uncertified(manifest: BundleManifest, wish: EnginePreference) -> EngineKey:
    """What was asked for by name, or the plainest that can be had."""
    if AUTO not in (wish.engine, wish.precision):
        key = EngineKey(wish.engine, wish.precision)
        require_key(key)
        return key
    known = {precision for precisions in PRECISIONS.values() for precision in precisions}
    if wish.precision != AUTO and wish.precision not in known:
        raise EngineUnavailable(
            f"precision is {wish.precision!r}; it must be one of {', '.join(sorted(known))}"
        )
    if wish.takes(DEFAULT_KEY) and usable(DEFAULT_KEY):
        return DEFAULT_KEY
    possible = [
        key
        for key in usable_keys()
        if wish.takes(key) and all(stage.file_for(key.precision) for stage in manifest.stages)
    ]
    if not possible:
        require_engine(DEFAULT_ENGINE if wish.engine == AUTO else wish.engine)
        raise EngineUnavailable(
            f"bundle {manifest.name} has no model that can be computed at {wish.precision} here; it has "
            f"{', '.join(sorted(manifest.stages[0].models))}"
        )
    return min(possible, key=lambda key: key.engine != DEFAULT_ENGINE)


def _with_timings(record: TimingRecord, timed: Mapping[EngineKey, tuple[StageSeconds, ...]]) -> TimingRecord:
    fresh = {str(key): tuple(dict(stage) for stage in stages) for key, stages in timed.items()}
    return record.model_copy(update={"seconds": record.seconds | fresh})


def _chosen(
    manifest: BundleManifest,
    wish: EnginePreference,
    keys: Sequence[EngineKey],
    record: TimingRecord,
    own: Sequence[CertificateEntry],
    untimed: EngineKey | None,
) -> EngineChoice:
    """`untimed`: what serves where nothing could be timed, or nothing had to be."""
    seconds = {key: record.seconds[str(key)] for key in keys if str(key) in record.seconds}
    issued = {EngineKey.parse(entry.key): entry for entry in own}
    if not seconds and untimed is None:
        # Each was tried and none could be had; opening the first says why.
        require_key(keys[0])
        raise EngineUnavailable(f"none of {', '.join(map(str, keys))} can be had here; the log says why")
    key = min(seconds, key=lambda one: seconds_per_image(manifest, one, seconds[one])) if seconds else keys[0]
    if wish.batch is not None:
        batch_sizes: tuple[int, ...] = (wish.batch,) * len(manifest.stages)
    elif key in seconds:
        batch_sizes = tuple(map(best_batch, seconds[key]))
    else:
        batch_sizes = (1,) * len(manifest.stages)
    certified = key in issued or manifest.entry(str(key)) is not None
    if key in seconds or len(keys) == 1:
        why = _why(manifest, wish, key, seconds, certified=certified)
    else:
        why = f"the first of {len(keys)} certified ones, since their timing was not completed"
    return EngineChoice(key, batch_sizes, why, seconds, issued.get(key))


def seconds_per_image(manifest: BundleManifest, key: EngineKey, stages: Sequence[StageSeconds]) -> float:
    """What an image costs on average, at each stage's best batch: A sees all, B what A leaves."""
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
    wish: EnginePreference,
    key: EngineKey,
    seconds: Mapping[EngineKey, tuple[StageSeconds, ...]],
    *,
    certified: bool,
) -> str:
    if AUTO not in (wish.engine, wish.precision):
        return "asked for"
    if not certified:
        return "nothing that the bundle is certified on can be had here"
    if len(seconds) < 2:
        return "the only one that the bundle is certified on and that can be had here"
    others = ", ".join(
        f"{other} {1e3 * seconds_per_image(manifest, other, stages):.2f} ms"
        for other, stages in seconds.items()
        if other != key
    )
    mine = 1e3 * seconds_per_image(manifest, key, seconds[key])
    return f"the fastest of {len(seconds)} certified ones: {mine:.2f} ms an image ({others})"
