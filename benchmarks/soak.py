"""Soak test: long full load, bundle changes under load, stops under load.

    python benchmarks/soak.py --minutes 10                 memory of every process, errors, lost events
    python benchmarks/soak.py --minutes 0 --reloads 20     two bundles in turn, under 16 clients
    python benchmarks/soak.py --minutes 0 --stops 10       SIGTERM and restart, under 16 clients
                              [--peers litserve,bentoml,mlserver]   the peers' stops, too
                              [--record [FOLDER]]                   a record per trial

A label follows every prediction of the long load; each event that a client caused must be
counted by the metrics, and after stops by the store. Writes soak.md and, of the long load, soak.csv
and soak.png. The exit code is 1 if a request or an event was lost, an error occurred, a process was left
over or memory grew. Linux only; the service takes all cores, one worker each.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from harness.figures import markdown, shown
from harness.memory import Growth, growth
from harness.models import MODELS, write_model_bundle
from harness.options import names_among
from harness.photographs import photographs
from harness.pictures import draw_memory
from harness.record import Claim, Recording, add_record_option
from harness.servers import DEMUR, PEERS
from harness.soak_trials import Reloads, Soak, Stops, Stored, reload_under_load, soak, stop_under_load
from harness.trial import usable_cores
from harness.venvs import CACHE

from demur.profile.figures import Repeated
from trainer.run.console import RunConsole

CLIENTS = 16
PAUSE = 2.0
_WARM_UP = 0.2
"""Share of the long load, at its beginning, that is left out of the test for growth."""
_STORE_NOTE = (
    "The store keeps every prediction for its label, up to 256 MB; its growth is what was sent, and is not "
    "judged."
)


def main(arguments: Sequence[str] | None = None) -> None:
    given = _options().parse_args(arguments)
    recording = Recording.begin(given.record)
    console = RunConsole()
    cores = usable_cores()
    workers = given.workers or len(cores)
    images = photographs(8, 720, 1280, 181_000)
    parts: list[str] = []
    faults: list[str] = []
    given.out.mkdir(parents=True, exist_ok=True)
    servers = [DEMUR, *(PEERS[name] for name in given.peers)] if given.stops else []
    steps = round(60 * given.minutes) + given.reloads + given.stops * len(servers)
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        console.bar("Starting", steps, unit="steps") as bar,
    ):
        scratch = Path(folder)
        bundles = [
            write_model_bundle(given.model, scratch / "bundles", images, CACHE / "onnx", name)
            for name in ("one", "two")
        ]
        begun = iter(range(1, steps + 1))

        def step(what: str) -> None:
            bar.at(next(begun), steps, what)

        if given.minutes:
            seconds = 60 * given.minutes
            clients = given.clients or 8 * workers
            long = soak(
                bundles[0],
                images,
                scratch,
                cores,
                workers=workers,
                clients=clients,
                seconds=seconds,
                step=step,
            )
            parts.append(_report_soak(long, faults, given.out))
            _record_soak(recording, long, parts[-1], faults)
        load = {"workers": workers, "clients": given.clients or CLIENTS, "pause": given.pause, "step": step}
        if given.reloads:
            reloads = reload_under_load(bundles, images, scratch, cores, times=given.reloads, **load)
            found = len(faults)
            parts.append(_report_reloads(reloads, faults))
            _record_reloads(recording, reloads, parts[-1], met=len(faults) == found)
        stops = [
            stop_under_load(server, bundles[0], images, scratch, cores, times=given.stops, **load)
            for server in servers
        ]
        if stops:
            found = len(faults)
            parts.append(_report_stops(stops, faults))
            _record_stops(recording, stops, parts[-1], met=len(faults) == found)
    text = "\n".join(parts)
    (given.out / "soak.md").write_text(text)
    console.console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.note(f"written to {given.out}")
    for fault in faults:
        console.warn(fault)
    sys.exit(1 if faults else 0)


def _report_soak(found: Soak, faults: list[str], out: Path) -> str:
    tally, events = found.tally, found.events
    if tally.lost or tally.refused or tally.unreachable:
        faults.append(
            f"full load: {tally.lost} dropped {dict(tally.dropped)}, refused {dict(tally.refused)}, "
            f"{tally.unreachable} not connected"
        )
    if not events.all_there:
        faults.append(f"full load: not every event was counted: {events}")
    if found.stored != Stored(tally.answered, tally.labelled):
        faults.append(f"full load: {tally.answered} answered, {tally.labelled} labelled, but {found.stored}")
    rows = []
    growths: dict[str, Growth] = {}
    for name, series in found.memory.items():
        settled = series[series[:, 0] > _WARM_UP * found.seconds]
        line = growths[name] = growth(settled[:, 0], settled[:, 1])
        judged = not name.startswith("store")
        if judged and line.grows:
            faults.append(f"full load: {name} grows by {line.megabytes_an_hour:.1f} MB an hour")
        rows.append(
            [
                name,
                f"{line.first:.1f}",
                f"{line.last:.1f}",
                f"{line.megabytes_an_hour:.1f} ({line.low:.1f} to {line.high:.1f})",
                "not judged" if not judged else "grows" if line.grows else "no growth beyond noise",
            ]
        )
    _write_series(out / "soak.csv", found)
    draw_memory(out / "soak.png", found.memory, growths, found.tally.latencies, _WARM_UP * found.seconds)
    p99 = float(np.percentile([ms for _, ms in tally.latencies], 99))
    return (
        f"### Full load for {found.seconds / 60:g} minutes\n\n"
        f"{tally.answered:,} predictions ({tally.answered / found.seconds:.0f} a second, p99 {p99:.0f} ms) "
        f"and {tally.labelled:,} labels; {sum(tally.refused.values())} refused, {tally.lost} dropped. "
        f"Events counted: {events.predictions_counted:,} predictions, {events.labels_counted:,} labels; "
        f"{events.dropped} given up. In the windows: {found.stored.predictions:,} predictions, "
        f"{found.stored.labelled:,} with their label.\n\n"
        + markdown(["process", "MB at first", "MB at last", "MB an hour (95 % interval)", ""], rows)
        + f"\n{_STORE_NOTE}\n"
    )


def _write_series(path: Path, found: Soak) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("process", "seconds", "resident_mb"))
        for name, series in found.memory.items():
            writer.writerows((name, f"{second:.1f}", f"{size:.2f}") for second, size in series)


def _report_reloads(found: Reloads, faults: list[str]) -> str:
    tally = found.tally
    if tally.lost or tally.refused or tally.unreachable:
        faults.append(f"reloads: {tally.lost} dropped {dict(tally.dropped)}, refused {dict(tally.refused)}")
    if found.events is None or not found.events.all_there:
        faults.append(f"reloads: not every event was counted: {found.events}")
    half = len(found.workers_mb) // 2
    weights = np.array(found.workers_mb)
    before, after = (f"{np.median(part):.1f}" for part in (weights[1 : half + 1], weights[half:]))
    return (
        f"### {len(found.seconds)} changes of the bundle under load\n\n"
        f"{tally.answered:,} predictions by {' and '.join(sorted(tally.bundles))}; {tally.lost} dropped, "
        f"{sum(tally.refused.values())} refused. A change took {shown(Repeated.of(found.seconds))} s. "
        f"Memory of a worker after each: {', '.join(f'{size:.0f}' for size in weights)} MB "
        f"(median of the first half {before}, of the second {after}).\n"
    )


def _report_stops(found: Sequence[Stops], faults: list[str]) -> str:
    rows = []
    for stops in found:
        orphans = sum(stop.orphans for stop in stops.stops)
        killed = sum(stop.killed for stop in stops.stops)
        if stops.server == DEMUR.name:
            if stops.tally.lost or stops.tally.refused:
                faults.append(
                    f"stops: {stops.tally.lost} accepted requests dropped {dict(stops.tally.dropped)}, "
                    f"refused {dict(stops.tally.refused)}"
                )
            if orphans or killed:
                faults.append(f"stops: {orphans} processes were left over, {killed} stops were not in time")
            if stops.counted != stops.tally.answered:
                faults.append(f"stops: {stops.tally.answered} answered, {stops.counted} counted by the store")
        rows.append(
            [
                stops.server,
                str(len(stops.stops)),
                f"{stops.tally.answered:,}",
                str(stops.tally.lost),
                str(sum(stops.tally.refused.values())),
                str(orphans),
                str(killed),
                shown(Repeated.of([stop.seconds for stop in stops.stops])),
                shown(Repeated.of(stops.restart_seconds)),
                "-" if stops.counted is None else f"{stops.counted:,}",
            ]
        )
    titles = [
        "server",
        "stops",
        "answered",
        "accepted and dropped",
        "refused",
        "processes left over",
        "not stopped in 30 s",
        "stop, s",
        "start to ready, s",
        "counted by the store",
    ]
    return "### SIGTERM under load\n\n" + markdown(titles, rows)


def _record_soak(recording: Recording, found: Soak, text: str, faults: Sequence[str]) -> None:
    tally = found.tally
    minutes = f"{found.seconds / 60:g} minutes of full load"
    growing = [fault for fault in faults if "grows" in fault]
    recording.save(
        "full-load",
        "robustness",
        "Full load",
        about="Every prediction is followed by its label, and each event must be counted by the metrics "
        "and be in the windows. Memory counts as growing if the slope's 95 % interval, over the medians "
        "of twelve equal spans after the warm-up, lies above zero and the growth is more than a megabyte.",
        claims=[
            Claim(
                f"{minutes}: requests refused or dropped, events lost",
                f"{tally.lost + sum(tally.refused.values())} of {tally.answered:,} predictions and "
                f"{tally.labelled:,} labels; "
                f"{'every event' if found.events.all_there else 'not every event'} counted",
                "0, every event",
                len(faults) == len(growing),
            ),
            Claim(
                f"{minutes}: processes whose memory grows",
                f"{len(growing)} beyond noise",
                "0",
                not growing,
            ),
        ],
        detail=_without_heading(text),
        raw=text,
    )


def _record_reloads(recording: Recording, found: Reloads, text: str, *, met: bool) -> None:
    tally = found.tally
    recording.save(
        "bundle-changes",
        "robustness",
        "Changes of the bundle under load",
        about="Two bundles in turn under sixteen clients. A connection that was made and broke before its "
        "answer counts as a dropped request.",
        claims=[
            Claim(
                f"{len(found.seconds)} changes of the bundle under load: requests dropped or refused",
                f"{tally.lost + sum(tally.refused.values())} of {tally.answered:,}",
                "0",
                met,
            )
        ],
        detail=_without_heading(text),
        raw=text,
    )


def _record_stops(recording: Recording, found: Sequence[Stops], text: str, *, met: bool) -> None:
    ours = next(stops for stops in found if stops.server == DEMUR.name)
    dropped = ", ".join(f"{stops.server} {stops.tally.lost}" for stops in found)
    alone = len(found) == 1
    recording.save(
        "stops" if alone else "stops-beside-others",
        "robustness",
        "Stops under load" if alone else "Stops beside other servers",
        about="SIGTERM and restart under sixteen clients. A connection that was made and broke before its "
        "answer counts as a dropped request.",
        claims=[
            Claim(
                f"{len(ours.stops)} stops by SIGTERM under load: requests accepted and dropped",
                f"{ours.tally.lost} of {ours.tally.answered:,}" if alone else dropped,
                "0" if alone else "demur 0",
                met,
            )
        ],
        detail=_without_heading(text),
        raw=text,
    )


def _without_heading(text: str) -> str:
    return text.partition("\n\n")[2]


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of full load; 0 for none")
    parser.add_argument("--reloads", type=int, default=0)
    parser.add_argument("--stops", type=int, default=0)
    parser.add_argument("--peers", type=names_among(PEERS), default=(), help="stopped beside demur")
    parser.add_argument(
        "--pause", type=float, default=PAUSE, help="seconds of load around each change or stop"
    )
    parser.add_argument("--workers", type=int, default=None, help="one a core")
    parser.add_argument(
        "--clients", type=int, default=None, help=f"8 per worker; {CLIENTS} for changes and stops"
    )
    parser.add_argument("--model", choices=list(MODELS), default="small")
    parser.add_argument("--out", type=Path, default=CACHE / "soak")
    add_record_option(parser)
    return parser


if __name__ == "__main__":
    main()
