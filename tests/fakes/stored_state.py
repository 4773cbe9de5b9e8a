"""A small state of a service: written by the service's own parts, and read again into plain figures.

All times are in the year 2100, so that nothing in it is ever too old for the store.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from fakes.alert_days import Day, a_file, accuracy
from fakes.drift_rows import reference_sample, sampled_rows, signal_rows
from fakes.experiment_scene import Scene
from fakes.referenced_bundle import write_referenced_bundle
from fakes.tiny_bundle import colour_images

from bundle.engines.contract import EngineKey
from bundle.loader import load_bundle
from bundle.selection.issued import IssuedCertificates
from bundle.selection.timing_cache import TimingCache, TimingRecord
from bundle.system.machine import Machine
from bundle.verify import read_manifest
from calibration.known_splits import KnownCertificate, KnownSplits, SplitIdentity
from monitoring.alerts.alert import Receiver
from monitoring.alerts.disk import AlertFolder
from monitoring.alerts.message import Message
from monitoring.alerts.outbox.outbox import Outbox
from monitoring.alerts.silence import Silence
from monitoring.alerts.state import StoredState
from monitoring.delivery.event_log import EventLog, LogBounds
from monitoring.delivery.segments import Position
from monitoring.drift.sample_folder import SampleFolder, drift_folder
from monitoring.drift.watch import DriftPolicy, DriftWatch
from monitoring.events import CONTROL, Event, FailureEvent, FeedbackEvent, PredictionEvent
from monitoring.experiments.dealing import Dealing, Segment, point_of
from monitoring.experiments.folder import ExperimentFolder
from monitoring.promise.archive import Archive
from monitoring.promise.latch import Alarm, Reset
from monitoring.promise.monitor import BundleMonitor
from monitoring.promise.stored_items import StoredItems
from monitoring.promise.terms import PromiseTerms, WatchOptions
from monitoring.store.connection import connect
from monitoring.windows.rolling import RollingWindows
from monitoring.windows.snapshot import REWARD_SIZES, TOTAL
from monitoring.windows.unit_windows import ItemTimes
from trainer.certify.ledger_folder import LedgerFolder

MODEL: Final = "tiny"
NOON: Final = 4_102_488_000.0
"""1 January 2100, 12:00 UTC"""
FIRST: Final = 300
"""Predictions before the promise's base"""
MORE: Final = 120
"""Predictions after it"""
TIMES: Final = ItemTimes(gap=60.0, wait=3_600.0)
OPTIONS: Final = WatchOptions(share=0.5, gap=TIMES.gap, wait=TIMES.wait)
BASE_AT: Final = NOON + 6.0 * FIRST + TIMES.wait + 43_200.0 + 120.0
"""When the first predictions are final"""
READ_AT: Final = BASE_AT + 6.0 * MORE + TIMES.gap + 60.0
"""When the monitors are read"""
PLACE: Final = "/srv/demur"
"""Stands for the folder of the state in its files"""
UNITS: Final = tuple(f"cam-{number}" for number in range(200))
MACHINE: Final = Machine("a processor", (), ("onnxruntime-cpu 1",))
SPLIT: Final = SplitIdentity.of([f"{number:064x}" for number in range(50)])


@dataclass(frozen=True)
class Stored:
    """A state: its folder, and the store beside it."""

    root: Path
    url: str

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> Path:
        return self.data / "events" / MODEL

    @property
    def labels(self) -> tuple[str, str]:
        """The champion and the challenger, `name:version`."""
        one, two = (read_manifest(self.root / name) for name in ("one", "two"))
        return f"{one.name}:{one.version}", f"{two.name}:{two.version}"


def write_state(state: Stored) -> None:
    """Write all of a state."""
    scene = Scene(state.root)
    scene.start(two=0.25)
    scene.share("two", 0.4)
    write_referenced_bundle(state.root / "referenced", 110)
    _write_events(state)
    _write_promise(state)
    _write_drift(state)
    _write_alerts(state)
    TimingCache(state.data).save(TimingRecord(bundle="1" * 16, machine=MACHINE.digest, seconds=TIMINGS))
    IssuedCertificates(state.data).claim("ab" * 32, EngineKey("openvino", "bf16"))
    entry = KnownCertificate("exact, engine", 0.02, "f" * 16, "run", "2100-01-01T12:00:00Z")
    LedgerFolder(state.root / "ledger").change(lambda known: known.charge(SPLIT, [entry], 0.05))
    for path in (state.data / "experiments").glob("*.json"):
        path.write_text(path.read_text().replace(str(state.root), PLACE))


TIMINGS: Final = {"onnxruntime-cpu/fp32": ({1: 0.001, 8: 0.0005}, {1: 0.002})}


def figures(state: Stored) -> dict[str, Any]:
    """What a service would read of a state, as plain values."""
    found = {
        "windows": _windows(state),
        "promise": _promise(state),
        "dealing": _dealing(state),
        "drift": _drift(state),
        "alerts": _alerts(state),
        "engines": TimingCache(state.data).load("1" * 16, MACHINE).model_dump(mode="json"),
        "issued": _claim(state),
        "ledger": KnownSplits.to_dict(LedgerFolder(state.root / "ledger").read()),
        "decisions": {name: _decisions(state.root / name) for name in ("one", "two", "referenced")},
    }
    return cast("dict[str, Any]", json.loads(json.dumps(plain(found))))


def plain(value: Any) -> Any:
    """JSON values of nested dataclasses."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [plain(inner) for inner in value]
    return value


def dump_store(url: str) -> Iterator[str]:
    """A line of JSON for each key of the store: its name, its life left in ms (0: no end) and its value as
    DUMP gives it."""
    with closing(connect(url)) as client:
        for key in sorted(cast("list[bytes]", client.keys())):
            value = b64encode(cast("bytes", client.dump(key))).decode()
            yield json.dumps([key.decode(), max(0, cast("int", client.pttl(key))), value]) + "\n"


def restore_store(lines: Iterator[str], url: str) -> None:
    """The inverse of `dump_store`, into an empty store."""
    with closing(connect(url)) as client:
        for key, life, value in map(json.loads, lines):
            client.restore(key, life, b64decode(value))


def events_of(state: Stored) -> list[Event]:
    """Predictions of two arms and a shadow, with labels that are late, early, repeated and corrected."""
    rng = np.random.default_rng(7)
    return [event for number in range(FIRST + MORE) for event in _one_request(state, number, rng)]


def _one_request(state: Stored, number: int, rng: np.random.Generator) -> Iterator[Event]:
    champion, challenger = state.labels
    at = NOON + 6.0 * number if number < FIRST else BASE_AT + 6.0 * (number - FIRST)
    arm = CONTROL if rng.random() < 0.7 else challenger
    answer = None if rng.random() < 0.2 else int(rng.random() < 0.5)
    audit = answer is not None and rng.random() < 0.5
    request = PredictionEvent(
        request_id=f"r{number}",
        bundle=champion if arm == CONTROL else challenger,
        predicted=answer or 0,
        answer=answer,
        stage="AB"[number % 2],
        confidence=float(rng.random()),
        probability=float(rng.random()),
        at=at,
        unit_id=f"cam-{number % 9}" if number % 2 else None,
        audit=audit,
        reason="ambiguous" if answer is None else None,
        draw=float(rng.random()),
        audit_probability=None if answer is None else 0.5,
        seconds=0.01,
        experiment="ramp",
        arm=arm,
        stratum=int(number > 150),
    )
    label = FeedbackEvent(request.request_id, int(rng.random() < 0.5), at + 20.0, "tests")
    if answer is not None and rng.random() < 0.9:
        label = FeedbackEvent(request.request_id, answer, at + 20.0, "tests")
    if number % 11 == 0:
        yield label
    yield request
    if number % 11 and rng.random() < 0.8:
        yield label
    if number % 17 == 0:
        yield FeedbackEvent(request.request_id, 1 - label.label, at + 40.0)
    if number % 19 == 0:
        yield label
    if number % 50 == 0:
        yield FailureEvent(f"f{number}", request.bundle, "queue-full", at, experiment="ramp", arm=arm)


def _write_events(state: Stored) -> None:
    """Into the log, and from there into the store, as the recorder does."""
    log = EventLog.claim(state.log, LogBounds())
    with closing(_open_windows(state)) as windows, closing(log):
        log.append(events_of(state))
        position, before = Position(0, 0), None
        while (excerpt := log.read(position, 100)).events:
            windows.apply_from_log(log.name, excerpt.events, before, str(excerpt.after))
            position, before = excerpt.after, str(excerpt.after)


def _write_promise(state: Stored) -> None:
    champion, challenger = state.labels
    archive = _archive(state)
    monitor = BundleMonitor(_terms(champion), OPTIONS)
    with closing(_items(state)) as items:
        monitor.apply(items.changes(champion, None))
    monitor.read(BASE_AT)
    base = monitor.settle(BASE_AT)
    assert base is not None
    archive.keep(champion, base, 0.0)
    broken = Alarm("broken", "", NOON + 60.0, 25.5, trusted=True)
    reset = Reset(NOON + 90.0, "Ada", "the lens was cleaned")
    archive.change_latch(lambda held: held.alarmed("older:1", broken, 0.0).reset("older:1", reset))
    archive.change_latch(lambda held: held.alarmed(challenger, broken, NOON))


def _write_drift(state: Stored) -> None:
    folder = SampleFolder(drift_folder(state.data, state.labels[0]))
    watch = DriftWatch(folder, reference_sample(200), DriftPolicy())
    folder.append(sampled_rows(signal_rows(260, 1, brightness=0.8), NOON))
    assert watch.look(NOON) is not None
    folder.append(sampled_rows(signal_rows(20, 2), NOON + 600.0))


def _write_alerts(state: Stored) -> None:
    day = Day(a_file(), now=NOON)
    day.last(120, accuracy(0.7, at=NOON))
    day.act("acknowledge")
    day.last(4, accuracy(0.7, at=NOON), accuracy(0.75, "demur:2", NOON))
    silence = Silence("quiet", (("bundle", "demur:2"),), NOON, NOON + 3600.0, "Ada", "roadworks")
    day.act("silence", "quiet", document=json.dumps(silence.to_dict()))
    with closing(StoredState.at(state.url, MODEL, "one")) as store:
        fence = store.follow([accuracy(0.7)], 0).fence
        assert fence is not None
        assert store.keep(day.state, fence, [])
        store.release()
    AlertFolder(state.data / "alerts").keep(day.state)
    Outbox(state.data / "alerts" / "outbox", {}).add(_message(day), "mail", "ada@example.org")


def _message(day: Day) -> Message:
    return day.sent[0].message


def _open_windows(state: Stored) -> RollingWindows:
    return RollingWindows.at(state.url, MODEL, items=TIMES)


def _windows(state: Stored) -> Any:
    with closing(_open_windows(state)) as windows:
        return plain(windows.snapshots([TOTAL, *state.labels])), windows.bundles()


def _items(state: Stored) -> StoredItems:
    return StoredItems(connect(state.url), MODEL, TIMES, sizes=REWARD_SIZES, clock=lambda: READ_AT)


def _archive(state: Stored) -> Archive:
    return Archive(state.data / "promise", state.url, MODEL)


def _terms(bundle: str) -> PromiseTerms:
    return PromiseTerms(bundle, "promised", 0.1, coverage=0.7)


def _promise(state: Stored) -> Any:
    """The latch, and the monitors: with the base, and from the store alone."""
    archive, readings = _archive(state), []
    with closing(_items(state)) as items:
        for bundle in state.labels:
            base = archive.base(bundle, 0.0)
            monitor = BundleMonitor(_terms(bundle), OPTIONS, base=base)
            monitor.apply(items.changes(bundle, None))
            readings.append(monitor.read(READ_AT).to_dict())
            readings.append(asdict(items.counts(bundle)))
    return {"readings": readings, "latch": archive.latch()}


def _dealing(state: Stored) -> Any:
    held = ExperimentFolder(state.data).running()
    assert held is not None
    dealing = Dealing(tuple(Segment(*one) for one in held.strata[-1].segments))
    arms = [dealing.arm_at(point_of(held.name, held.salt, unit)) for unit in UNITS]
    return {"arms": arms, "designed": held.designed(), "names": held.names, "notes": held.started.reason}


def _drift(state: Stored) -> Any:
    folder = SampleFolder(drift_folder(state.data, state.labels[0]))
    watch = DriftWatch(folder, reference_sample(200), DriftPolicy())
    latest = watch.latest()
    assert latest is not None
    (closed,) = folder.closed()
    return {"latest": latest.to_values(), "images": len(closed[0].sample), "waiting": folder.waiting}


def _alerts(state: Stored) -> Any:
    with closing(StoredState.at(state.url, MODEL, "reader")) as store:
        stored = store.read()
    assert stored is not None
    outbox = Outbox(state.data / "alerts" / "outbox", {})
    return {
        "store": json.loads(stored.to_json()),
        "disk": json.loads(AlertFolder(state.data / "alerts").read().to_json()),
        "states": {one.fingerprint: one.state for one in stored.alerts.values()},
        "waiting": [(one.channel, one.to, one.message.id, one.message.title) for one in outbox.entries()],
        "receiver": asdict(Receiver("mail")),
    }


def _claim(state: Stored) -> str | None:
    claim = IssuedCertificates(state.data).read("ab" * 32)
    return None if claim is None else claim.key


def _decisions(folder: Path) -> Any:
    images = [one.data for one in colour_images(2)]
    return [plain(one) for one in load_bundle(folder).runner.decide(images)]
