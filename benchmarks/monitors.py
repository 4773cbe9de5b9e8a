"""Monitors of the risk on the same streams of labels: ours, River, MAPIE, and a dummy that alarms by chance.

    python benchmarks/monitors.py --prepare                    once: an environment per peer
    python benchmarks/monitors.py [--runs 60] [--mapie-runs 4] [--record [FOLDER]]

A stream is the sequence of wrong and right among the audited answers, all of them audited, so that every
monitor sees the same. Tasks: false alarms at exactly 1 %; labels to the alarm at 2, 3 and 5 %, from the first
label on and after 10,000 labels at .5 %; and a promise that is kept while the risk rises from .2 to .9 %. For
our *worse*, 5,000 labels at .5 % are the baseline. Each peer runs in an environment of its own; MAPIE needs
half a millisecond a label and history, so it gets the first runs alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option
from harness.venvs import NotPrepared, peer_python, prepare_peer
from numpy.typing import NDArray

from calibration import EDetector, e_detector
from calibration.sequential import AuditSums, worse_detector
from calibration.sequential.baseline import AUDITS, HEAD_START

ALPHA, DELTA = 0.01, 0.05
HORIZON, PAST = 20_000, 10_000
PEERS = ("river", "mapie")
DETECTORS = Path(__file__).parent / "peers"
RISKS = (0.02, 0.03, 0.05)
AFTER = {0.02: 8_000, 0.03: 6_000, 0.05: 4_000}
"""Labels of a stream once the risk is higher"""

Streams = Mapping[str, NDArray[np.bool_]]
"""Task -> [runs, labels]"""


@dataclass(frozen=True)
class Found:
    """Labels to the first alarm of each run, or None, by task; and the cost of a label."""

    alarms: Mapping[str, list[int | None]]
    microseconds: float


def draw(runs: int, seed: int = 0) -> Streams:
    """The streams of every task."""
    rng = np.random.default_rng(seed)

    def stretch(risk: float, labels: int) -> NDArray[np.bool_]:
        return rng.random((runs, labels)) < risk

    streams = {"edge": stretch(ALPHA, HORIZON)}
    for risk in RISKS:
        streams[f"fresh {risk:g}"] = stretch(risk, AFTER[risk])
        streams[f"past {risk:g}"] = np.hstack([stretch(0.005, PAST), stretch(risk, AFTER[risk])])
        streams[f"beginning {risk:g}"] = np.hstack([stretch(0.005, AUDITS), stretch(risk, AFTER[risk])])
    for risk in (0.002, 0.005, 0.009):
        streams[f"same {risk:g}"] = stretch(risk, AUDITS + HORIZON)
    streams["kept"] = np.hstack([stretch(0.002, PAST), stretch(0.009, PAST)])
    return streams


def ours(streams: Streams, first: Callable[[NDArray[np.bool_]], int | None]) -> Found:
    """The alarms of one of our signals, and the cost of a label in its state, one at a time."""
    alarms = {task: [first(wrong) for wrong in runs] for task, runs in streams.items()}
    detector = EDetector(ALPHA)
    began = time.process_time()
    for _ in range(100_000):
        detector.update(False)
    return Found(alarms, 1e6 * (time.process_time() - began) / 100_000)


def first_broken(wrong: NDArray[np.bool_]) -> int | None:
    return _first(e_detector(wrong, ALPHA) >= 1.0 / DELTA)


def first_worse(wrong: NDArray[np.bool_]) -> int | None:
    """The alarm of *worse*, counted from the beginning of the stream; its baseline is silent."""
    beginning, errors = wrong[:AUDITS], int(wrong[:AUDITS].sum())
    if len(beginning) < AUDITS:
        return None
    sums = AuditSums(AUDITS, errors, float(AUDITS), float(AUDITS), float(errors), float(errors))
    risk = min(ALPHA, sums.upper_bound())
    lambdas = worse_detector(risk, ALPHA).lambdas
    values = e_detector(wrong[AUDITS:], risk, weight=HEAD_START, lambdas=lambdas)
    alarm = _first(values >= 1.0 / DELTA)
    return None if alarm is None else AUDITS + alarm


def dummy(streams: Streams, seed: int = 1) -> Found:
    """Alarms by chance, as often as is allowed: 5 % within 20,000 labels. What a monitor must beat."""
    rng = np.random.default_rng(seed)
    rate = 1.0 - (1.0 - DELTA) ** (1.0 / HORIZON)

    def alarm(labels: int) -> int | None:
        at = int(rng.geometric(rate))
        return at if at <= labels else None

    return Found({task: [alarm(runs.shape[1]) for _ in runs] for task, runs in streams.items()}, 0.0)


def peer(name: str, streams: Streams) -> dict[str, Found]:
    """The detectors of a peer. Raises NotPrepared."""
    python = peer_python(name)
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "streams.npz", Path(folder) / "alarms.json"
        np.savez(given, **streams)
        subprocess.run([python, DETECTORS / name / "detect.py", given, out], check=True)
        found = json.loads(out.read_text())
    return {detector: Found(one["alarms"], one["microseconds"]) for detector, one in found.items()}


def row(name: str, found: Found) -> list[str]:
    """A detector's row of the table."""
    cells = [name, _share(found.alarms["edge"])]
    cells += [" / ".join(_median(found.alarms[f"fresh {risk:g}"], 0) for risk in RISKS)]
    cells += [" / ".join(_median(found.alarms[f"past {risk:g}"], PAST) for risk in RISKS)]
    cells += [" / ".join(_median(found.alarms[f"beginning {risk:g}"], AUDITS) for risk in RISKS)]
    cells += [" / ".join(_share(found.alarms[f"same {risk:g}"]) for risk in (0.002, 0.005, 0.009))]
    return [*cells, _share(found.alarms["kept"]), f"{found.microseconds:,.1f}"]


def claims(broken: Found, worse: Found) -> list[Claim]:
    """The figures to reach with uniform audits; audits by confidence have a record of their own."""
    edge, kept = (_alarmed(broken.alarms[task]) for task in ("edge", "kept"))
    medians = [_median(worse.alarms[f"beginning {risk:g}"], AUDITS) for risk in RISKS]
    reached = all(
        one != "never" and float(one.replace(",", "")) <= most
        for one, most in zip(medians, (850, 360, 170), strict=True)
    )
    false = [_alarmed(worse.alarms[f"same {risk:g}"]) for risk in (0.002, 0.005, 0.009)]
    return [
        Claim(
            "broken: false alarms within 20,000 audits at exactly 1 %",
            f"{edge:.3f}",
            "at most .05",
            edge <= 0.05,
        ),
        Claim(
            "broken: .2 % to .9 % (promise kept), alarms within 10,000",
            f"{kept:.3f}",
            "at most .05",
            kept <= 0.05,
        ),
        Claim(
            "worse: labels to the alarm at 2, 3 and 5 % after a baseline at .5 %",
            ", ".join(medians),
            "at most 850, 360, 170",
            reached,
        ),
        Claim(
            "worse: false alarms within 20,000 more at .2, .5 and .9 %",
            ", ".join(f"{one:.3f}" for one in false),
            "at most .05",
            max(false) <= 0.05,
        ),
        Claim(
            "cost of one audit label",
            f"{broken.microseconds:.1f} us",
            "at most 50 us",
            broken.microseconds <= 50.0,
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--mapie-runs", type=int, default=4)
    parser.add_argument("--prepare", action="store_true", help="install the peers and stop")
    add_record_option(parser)
    options = parser.parse_args()
    if options.prepare:
        for name in PEERS:
            prepare_peer(name)
        return
    recording = Recording.begin(options.record)
    streams = draw(options.runs)
    broken, worse = ours(streams, first_broken), ours(streams, first_worse)
    found = {"demur, broken": broken, "demur, worse": worse, "by chance": dummy(streams)}
    for name in PEERS:
        try:
            runs = options.mapie_runs if name == "mapie" else options.runs
            found |= peer(name, {task: each[:runs] for task, each in streams.items()})
        except NotPrepared:
            print(f"{name} is not installed: `python benchmarks/monitors.py --prepare` installs it")
    header = [
        "monitor",
        "false alarms at 1 %",
        "labels to 2 / 3 / 5 % from the start",
        f"after {PAST:,} at .5 %",
        f"after a beginning of {AUDITS:,} at .5 %",
        "alarms at .2 / .5 / .9 % throughout",
        "alarms at .2 to .9 %",
        "us a label",
    ]
    rows = [row(name, one) for name, one in found.items()]
    table = markdown(header, rows)
    print(table)
    recording.save(
        "monitors",
        "promise",
        "Watching the promise: beside other monitors",
        about=f"Medians and shares of {options.runs} runs (MAPIE: {options.mapie_runs}) on the same streams, "
        "every answer audited. "
        "*never*: in more than half of the runs. An alarm before the risk has risen counts as none, so a "
        "monitor with many false alarms reaches fewer true ones. *worse* takes its first 5,000 labels as its "
        "baseline. Our cost is that of a label in the state of `EDetector`.",
        claims=claims(broken, worse),
        detail=table,
        raw=table,
    )


def _first(over: NDArray[np.bool_]) -> int | None:
    return int(over.argmax()) + 1 if over.any() else None


def _alarmed(alarms: list[int | None]) -> float:
    return sum(one is not None for one in alarms) / len(alarms)


def _share(alarms: list[int | None]) -> str:
    return f"{_alarmed(alarms):.3f}"


def _median(alarms: list[int | None], past: int) -> str:
    """Median number of labels from `past` on; an alarm before that is a false one."""
    after = [np.inf if one is None or one <= past else one - past for one in alarms]
    middle = float(np.median(after))
    return "never" if middle == np.inf else f"{middle:,.0f}"


if __name__ == "__main__":
    main()
