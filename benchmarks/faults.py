"""Faults in the middle of a stream of predictions and labels: does every figure come out right?

    python benchmarks/faults.py [--faults store-killed,...] [--seconds 30] [--pause 30] [--record [FOLDER]]

Two workers (in one row two services of two workers) serve a stream of images; each answer is followed by its
label, and half of the items are audited. In the middle of the stream the fault comes, and the stream goes on
through it. Then windows and items in the store are compared with an independent recount of the event logs,
and each label that was answered with 202 is looked for. A receiver takes the alerts of the services: one is
true all the time, and must be told once and never be said to be over; any other that the fault does not
explain is false. Predictions of the last tenth of a second before a
kill may be lost; labels may not. The exit code is 1 if a figure is wrong, a label is lost, a monitor
alarms or an alert is wrong. `disk-full` mounts a small file system and therefore needs root. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from fakes.tiny_bundle import ABSTAINED, ANSWERED_BY_A, ANSWERED_BY_B, colour_image, write_tiny_bundle
from harness import processes
from harness.alert_watch import AlertWatch, Told, alert_watch
from harness.event_stream import EventStream, Sent
from harness.figures import markdown
from harness.options import names_among
from harness.record import Claim, Recording, add_record_option
from harness.servers import DEMUR, Launch, RunningServer, start
from harness.trial import usable_cores

from monitoring.delivery.log_reader import LogReader, log_folders
from monitoring.events import Event
from monitoring.promise.item_recount import CountedItems, ItemRecount
from monitoring.promise.stored_items import StoredItems
from monitoring.store.connection import connect
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.windows.recount import Recount
from monitoring.windows.rolling import RollingWindows
from monitoring.windows.snapshot import REWARD_SIZES
from monitoring.windows.unit_windows import ItemTimes

MODEL = "faults"
PATIENCE = 90.0
"""Seconds after the stream in which the figures must come out right"""
_SMALL_DISK = "8m"
_CLOCK = """\
import os, time
_real, _file = time.time, os.environ["FAULTS_CLOCK"]
def _shifted():
    try:
        return _real() - os.stat(_file).st_size
    except OSError:
        return _real()
time.time = _shifted
"""
"""Python's clock, set back by as many seconds as a file has bytes"""


@dataclass(slots=True)
class Scene:
    """The store and the services of one row."""

    folder: Path
    bundle: Path
    store: EmbeddedValkey
    alerts: AlertWatch
    servers: list[RunningServer] = field(default_factory=list)

    @property
    def clock(self) -> Path:
        """The file that sets the clock of the services back."""
        return self.folder / "clock"

    def launch(self, number: int) -> Launch:
        environment = {
            "DEMUR_REDIS_URL": self.store.url,
            "DEMUR_MODEL": MODEL,
            "DEMUR_AUDIT_SHARE": "0.5",
            "DEMUR_AUDIT_GAP": "1",
            **self.alerts.environment,
            "FAULTS_CLOCK": str(self.clock),
            "PYTHONPATH": str(self.folder / "clockwork"),
        }
        scratch = self.folder / f"service-{number}"
        return Launch(self.bundle, scratch, processes.free_ports(1)[0], workers=2, extra=environment)

    def logs(self) -> list[Event]:
        """Every event in the logs of all services."""
        parents = [server.launch.scratch / "events" / MODEL for server in self.servers]
        readers = [LogReader(folder) for parent in parents for folder in log_folders(parent)]
        return [event for reader in readers for event in reader.events()]


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens in the middle of a stream."""

    strike: Callable[[Scene, float], None]
    """Gets the seconds that it may last"""
    services: int = 1
    in_logs: bool = True
    """Whether the logs hold every event, so that the items can be counted from them"""
    small_disk: bool = False
    explains: tuple[str, ...] = ()
    """Rules of alerts that it may trip"""
    trips: tuple[str, ...] = ()
    """Rules that it must trip, and whose end must be told"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of the table."""

    predictions: int
    labels: int
    figures: int
    wrong: Sequence[str]
    lost_predictions: int
    lost_labels: Sequence[str]
    alarms: int
    told: Told

    @property
    def faults(self) -> list[str]:
        found = [*self.wrong, *(f"the accepted label of {one} is lost" for one in self.lost_labels)]
        found += [f"{self.alarms} alarms of a monitor"] if self.alarms else []
        return found + self.told.faults


def kill_store(scene: Scene, seconds: float) -> None:
    assert scene.store.pid is not None
    os.kill(scene.store.pid, signal.SIGKILL)


def pause_store(scene: Scene, seconds: float) -> None:
    pid = scene.store.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


def empty_store(scene: Scene, seconds: float) -> None:
    with closing(connect(scene.store.url)) as client:
        client.flushall()


def kill_services(scene: Scene, seconds: float) -> None:
    """Every process of both services at once; then they start again on what they have left."""
    for pid in [pid for server in scene.servers for pid in server.tree()]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for number, server in enumerate(scene.servers):
        server.process.wait()
        scene.servers[number] = start(DEMUR, server.launch, usable_cores())


def set_clock_back(scene: Scene, seconds: float) -> None:
    scene.clock.write_bytes(bytes(3600))


def fill_disk(scene: Scene, seconds: float) -> None:
    filling = scene.servers[0].launch.scratch / "filling"
    with suppress(OSError), filling.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    time.sleep(min(seconds, 10.0))
    filling.unlink()


_LOG: Final = ("event-log-failing",)
_STORE: Final = ("store-away", "alerts-without-store", "events-waiting")
FAULTS: Mapping[str, Fault] = {
    "none": Fault(lambda scene, seconds: None),
    "store-killed": Fault(kill_store, explains=_STORE),
    "store-paused": Fault(pause_store, explains=_STORE, trips=("store-away",)),
    "store-emptied": Fault(empty_store, explains=_STORE),
    "services-killed": Fault(kill_services, services=2),
    "clock-back": Fault(set_clock_back),
    "disk-full": Fault(fill_disk, in_logs=False, small_disk=True, explains=_LOG, trips=_LOG),
}


def measure(name: str, folder: Path, bundle: Path, seconds: float, pause: float) -> Outcome:
    """Send a stream of `seconds` on each side of the fault, and compare."""
    fault = FAULTS[name]
    images = [
        (colour_image(number % 2, strength, number), number % 2)
        for number in range(20)
        for strength in (ANSWERED_BY_A, ANSWERED_BY_A, ANSWERED_BY_B, ABSTAINED)
    ]
    clockwork = folder / "clockwork"
    clockwork.mkdir(parents=True)
    (clockwork / "sitecustomize.py").write_text(_CLOCK)
    with ExitStack() as stack:
        store = stack.enter_context(EmbeddedValkey(folder / "valkey"))
        scene = Scene(folder, bundle, store, stack.enter_context(alert_watch(folder)))
        for number in range(fault.services):
            launch = scene.launch(number)
            if fault.small_disk:
                stack.enter_context(_small_disk(launch.scratch))
            scene.servers.append(start(DEMUR, launch, usable_cores()))
        stack.callback(lambda: [server.stop() for server in scene.servers])
        stream = EventStream([server.address for server in scene.servers], images, seed=0)
        stream.start()
        time.sleep(seconds)
        fault.strike(scene, pause)
        time.sleep(seconds)
        stream.finish()
        return _compared(scene, fault, stream.sent)


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    options = ["-o", f"size={_SMALL_DISK}", "none", str(folder)]
    subprocess.run(["mount", "-t", "tmpfs", *options], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _compared(scene: Scene, fault: Fault, sent: Sent) -> Outcome:
    """Compare until nothing differs, or patience is over."""
    give_up = time.monotonic() + PATIENCE
    while True:
        outcome = _compare(scene, fault, sent)
        if not outcome.faults or time.monotonic() > give_up:
            return outcome
        time.sleep(1.0)


def _compare(scene: Scene, fault: Fault, sent: Sent) -> Outcome:
    events = scene.logs()
    if not fault.in_logs:
        known = {(type(event), event.request_id) for event in events}
        answered: list[Event] = [*sent.predictions.values(), *sent.labels.values()]
        events += [event for event in answered if (type(event), event.request_id) not in known]
    recount, items = Recount(), ItemRecount(ItemTimes(gap=1.0))
    recount.add(events)
    items.add(events)
    with closing(RollingWindows.at(scene.store.url, MODEL, timeout=10.0)) as windows:
        comparison = recount.compare(windows.snapshots(recount.scopes()))
        figures, wrong = comparison.figures, list(comparison.differences)
        lost = _lost_labels(scene, windows.prefix, sent)
    if fault.in_logs:
        with closing(
            StoredItems.at(scene.store.url, MODEL, items.times, sizes=REWARD_SIZES, timeout=10.0)
        ) as reader:
            for bundle in items.bundles():
                counted = items.items(bundle)
                figures += len(counted.audits) + len(counted.unaudited) + len(counted.decided)
                wrong += CountedItems.held(reader.changes(bundle, None)).differences(counted)
    in_events = {event.request_id for event in events}
    return Outcome(
        predictions=len(sent.predictions),
        labels=len(sent.labels),
        figures=figures,
        wrong=wrong,
        lost_predictions=sum(one not in in_events for one in sent.predictions),
        lost_labels=lost,
        alarms=_alarms(scene),
        told=scene.alerts.told(fault.explains, fault.trips),
    )


def _lost_labels(scene: Scene, prefix: str, sent: Sent) -> list[str]:
    """Accepted labels that neither a prediction has nor wait for one."""
    with closing(connect(scene.store.url, timeout=10.0)) as client:
        pipe = client.pipeline(transaction=False)
        for request_id in sent.labels:
            pipe.hget(f"{prefix}prediction:{request_id}", "label")
            pipe.hvals(f"{prefix}parked:{request_id}")
        replies = pipe.execute()
    return [
        request_id
        for (request_id, event), held, parked in zip(
            sent.labels.items(), replies[::2], replies[1::2], strict=True
        )
        if str(event.label).encode() not in (held, *parked)
    ]


def _alarms(scene: Scene) -> int:
    text = "\n".join(server.get("/metrics")[1].decode() for server in scene.servers)
    return sum(float(value) > 0 for value in re.findall(r"^demur_promise_alarm\{.*\} (\S+)$", text, re.M))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=names_among(FAULTS), default=tuple(FAULTS))
    parser.add_argument("--seconds", type=float, default=30.0, help="of the stream, before and after a fault")
    parser.add_argument("--pause", type=float, default=30.0, help="seconds for which the store is paused")
    add_record_option(parser)
    given = parser.parse_args()
    recording = Recording.begin(given.record)
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        bundle = write_tiny_bundle(Path(name) / "tiny")
        for fault in given.faults:
            outcomes[fault] = measure(fault, Path(name) / fault, bundle, given.seconds, given.pause)
            print(f"{fault}: {'; '.join(outcomes[fault].faults[:5]) or 'no fault'}", flush=True)
    titles = ["fault", "predictions", "labels accepted", "figures compared", "wrong figures"]
    titles += ["accepted labels lost", "alarms of a monitor", "predictions lost"]
    titles += ["alerts of the fault told, ended", "alerts lost", "twice, same id"]
    titles += ["false alarms", "wrong resolves"]
    rows = [
        [
            *(fault, f"{one.predictions:,}", f"{one.labels:,}", f"{one.figures:,}", str(len(one.wrong))),
            *(str(len(one.lost_labels)), str(one.alarms), str(one.lost_predictions)),
            f"{one.told.of_the_fault['firing']}, {one.told.of_the_fault['resolved']}",
            *(str(one.told.lost + len(one.told.missed)), str(one.told.twice)),
            *(str(len(one.told.false_alarms)), str(len(one.told.wrong_resolves))),
        ]
        for fault, one in outcomes.items()
    ]
    table = markdown(titles, rows)
    print(table)
    faults = [f"{name}: {text}" for name, one in outcomes.items() for text in one.faults]
    recording.save(
        "faults",
        "robustness",
        "Faults in the middle of a stream",
        about="A stream of predictions, each with its label, over two workers (or two services of two "
        "workers); half of the items are audited. The figures are those of the windows and the items of the "
        "monitors, and are compared with a recount of the event logs. A killed worker may lose the "
        "predictions of its last tenth of a second. One alert is true all the time; the other messages are "
        "of rules that the fault itself trips, as `store-away`.",
        claims=[
            Claim(
                f"{', '.join(outcomes)}: figures of the store, accepted labels, alarms",
                f"{sum(len(one.wrong) for one in outcomes.values())} wrong, "
                f"{sum(len(one.lost_labels) for one in outcomes.values())} lost, "
                f"{sum(one.alarms for one in outcomes.values())} alarms",
                "0, 0 and 0",
                not faults,
            ),
            Claim(
                "the same: alerts",
                f"{sum(one.told.lost + len(one.told.missed) for one in outcomes.values())} lost, "
                f"{sum(len(one.told.false_alarms) for one in outcomes.values())} false alarms, "
                f"{sum(len(one.told.wrong_resolves) for one in outcomes.values())} wrong resolves",
                "0, 0 and 0",
                not any(one.told.faults for one in outcomes.values()),
            ),
        ],
        detail=table,
        raw="\n".join([table, *faults, json.dumps(sorted(outcomes))]),
    )
    if faults:
        sys.exit(1)


if __name__ == "__main__":
    main()
