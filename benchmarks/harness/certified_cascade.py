"""demur's certified cascade beside servers that run stage B alone: what the same promise costs.

A server without a cascade computes its strong model on every image. demur computes the fast stage first, and
the strong one for the images that are left, so the share of the images that stage B sees decides. It depends
on the images; they are a fixed random draw of the run's val_test, which neither training nor calibration saw.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from harness import processes
from harness.figures import Measured, Subject, shown
from harness.pinned import LoadGenerator
from harness.plain import LAST_STAGE, SERVES
from harness.record import Claim
from harness.servers import DEMUR, Framework, Launch, RunningServer, ServerFailed, running
from harness.trial import Trial, usable_cores
from harness.venvs import CACHE
from trainer.data.config import DataOverrides
from trainer.data.reopening import reopen
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder
from trainer.run.record import read_record

PART = "certified cascade"
CLIENTS = 32
COLUMNS = ("rate", "server_cpu", "p50", "p99", "left_to_b", "answered", "resident")
_WARM_UP = 1.0


@dataclass(frozen=True, slots=True)
class ServedRun:
    """A bundle in the folder of its run, and how far ahead of the best other server it should be."""

    bundle: Path
    least: float | None
    """Factor on requests per second; None: no target"""

    @classmethod
    def parse(cls, text: str) -> ServedRun:
        """DIR or DIR=FACTOR, for argparse."""
        folder, equals, factor = text.rpartition("=")
        try:
            found = cls(Path(folder), float(factor)) if equals else cls(Path(text), None)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{factor!r} is no factor; give DIR or DIR=FACTOR") from None
        if not (found.bundle / "bundle.json").is_file():
            raise argparse.ArgumentTypeError(f"{found.bundle} holds no bundle.json")
        return found

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.bundle / "bundle.json").read_text())
        return found

    @property
    def name(self) -> str:
        """The bundle's name and that of its data, because many runs keep the default name."""
        return f"{self.manifest['name']}-{Path(self.manifest['provenance']['source']).stem}"

    def images(self, count: int, source: str | None, console: RunConsole) -> list[bytes]:
        """`count` encoded images of val_test, at random but always the same ones. `source`: where the images
        of the run are, if they have moved. They are kept for the next time, since scenes are all drawn again
        to get at some of them."""
        kept = CACHE / "val-test" / f"{self.manifest['version']}-{count}"
        if not kept.is_dir():
            draft = kept.with_suffix(".draft")
            draft.mkdir(parents=True, exist_ok=True)
            for number, image in enumerate(self._drawn(count, source, console)):
                (draft / f"{number:05d}").write_bytes(image)
            draft.rename(kept)
        return [file.read_bytes() for file in sorted(kept.iterdir())]

    def _drawn(self, count: int, source: str | None, console: RunConsole) -> list[bytes]:
        run = RunFolder(self.bundle.parent)
        images, splits = reopen(run, read_record(run), DataOverrides(source=source), console)
        rows = np.random.default_rng(0).permutation(splits.val_test)[:count]
        by_row = {int(row): images.read(int(row)) for row in np.sort(rows)}
        return [by_row[int(row)] for row in rows]


def measure_cascade(trial: Trial, frameworks: Sequence[Framework]) -> None:
    """Every server in turn, `trial.runs` times: demur with the cascade, the others with its last stage."""
    server_core, client_core = usable_cores()[:2]
    with LoadGenerator([client_core]) as load:
        for run in range(trial.runs):
            first = run % len(frameworks)
            for framework in (*frameworks[first:], *frameworks[:first]):
                trial.step(f"{trial.model}: {framework.name}")
                # A data folder outlives its server, so that only demur's first start times the engines.
                turn = "" if framework is DEMUR else f"-{run}"
                folder = trial.scratch / f"{trial.model}-{framework.name}{turn}"
                port = processes.free_ports(1)[0]
                launch = Launch(trial.bundle, folder, port, extra={SERVES: LAST_STAGE})
                with running(framework, launch, [server_core]) as server:
                    _one_run(trial, server, load)


def _one_run(trial: Trial, server: RunningServer, load: LoadGenerator) -> None:
    requests = trial.requests
    load.run(server.address, requests, CLIENTS, _WARM_UP)
    decided = _decisions(server) if server.framework is DEMUR else {}
    before = server.cpu_seconds()
    answered = load.run(server.address, requests, CLIENTS, trial.seconds)
    spent = server.cpu_seconds() - before
    if answered.refused or not answered.latencies:
        raise ServerFailed(
            f"{server.framework.name} answered {len(answered.latencies)} requests and refused "
            f"{answered.refused}; {server.said()}"
        )
    p50, p99 = (float(value) for value in np.percentile(answered.latencies, (50, 99)))
    shares = {"left_to_b": 1.0, "answered": 1.0}
    if decided:
        shares = _shares(decided, _decisions(server))
    trial.measured.add(
        _subject(trial.model, server.framework.name),
        rate=answered.per_second,
        server_cpu=1e3 * spent / len(answered.latencies),
        p50=p50,
        p99=p99,
        resident=server.resident_mb(),
        **shares,
    )


def compare(measured: Measured, name: str, peers: Sequence[str]) -> None:
    """Add demur's figures against the best other server of the same run."""
    ours = _subject(name, DEMUR.name)
    for figure, ahead in (("rate", "rate_ahead"), ("server_cpu", "cpu_ahead")):
        others = zip(*(measured.runs(_subject(name, peer), figure) for peer in peers), strict=True)
        for own, theirs in zip(measured.runs(ours, figure), others, strict=True):
            factor = own / max(theirs) if figure == "rate" else min(theirs) / own
            measured.add(ours, **{ahead: factor})


def claims(measured: Measured, name: str, least: float | None) -> list[Claim]:
    """Requests per second and CPU per request against the best other server."""
    found = []
    for figure, what in (("rate_ahead", "requests per second"), ("cpu_ahead", "CPU seconds per request")):
        value = measured.get(_subject(name, DEMUR.name), figure)
        if value is None:
            continue
        is_target = least is not None and figure == "rate_ahead"
        found.append(
            Claim(
                f"{name}: {what} of the certified cascade against the best of the other servers, which run "
                "stage B alone",
                f"{shown(value)} times {'as many' if figure == 'rate_ahead' else 'fewer'}",
                f"at least {least:g}" if is_target else "",
                value.median >= least if is_target and least is not None else None,
            )
        )
    return found


def _subject(model: str, server: str) -> Subject:
    return Subject(PART, model, server, CLIENTS)


def _decisions(server: RunningServer) -> dict[tuple[str, str], float]:
    """(stage, decision) -> number of images that demur has decided."""
    families = text_string_to_metric_families(server.get("/metrics")[1].decode())
    found: dict[tuple[str, str], float] = {("A", "answer"): 0.0}
    for family in families:
        for sample in family.samples:
            if sample.name == "demur_decisions_total":
                key = sample.labels["stage"], sample.labels["decision"]
                found[key] = found.get(key, 0.0) + sample.value
    return found


def _shares(before: dict[tuple[str, str], float], after: dict[tuple[str, str], float]) -> dict[str, float]:
    counts = {key: value - before.get(key, 0.0) for key, value in after.items()}
    total = sum(counts.values())
    by_b = sum(value for (stage, _), value in counts.items() if stage == "B")
    answered = sum(value for (_, decision), value in counts.items() if decision == "answer")
    return {"left_to_b": by_b / total, "answered": answered / total}
