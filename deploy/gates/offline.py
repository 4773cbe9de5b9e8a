"""The offline gates of a promotion, asked one after another; every outcome is told as soon as it is known.

Models run in processes of their own with limits of time and memory. A signature or a verification that has
not passed ends the rest, so that no model of a strange bundle is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bundle.system.subprocess_call import Say
from calibration.errors import DemurError
from deploy.errors import GateUndecided
from deploy.gates.asked import gate_names, left_out
from deploy.gates.certificate import ask_certificate
from deploy.gates.contained import Limits, Work, ask_contained, undecided
from deploy.gates.environment import engine_preference
from deploy.gates.identity import ask_golden, ask_signature, ask_verification
from deploy.gates.labelled import OpenTestSet
from deploy.gates.outcome import GateResult
from deploy.gates.plan import GatesPlan
from deploy.gates.regression import ask_test_set
from deploy.gates.served import Served, served_by
from deploy.gates.speed import ask_latency, ask_start

__all__ = ["gate_names", "left_out", "run_gates"]

On = Callable[[GateResult], None]


@dataclass(frozen=True, slots=True)
class _Job:
    """Gates that one process answers together."""

    gates: tuple[str, ...]
    work: Work
    longest: float


def run_gates(
    plan: GatesPlan,
    newcomer: Path,
    champion: Path | None,
    on: On,
    *,
    open_test_set: OpenTestSet | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    say: Say = lambda _: None,
) -> list[GateResult]:
    """A result for each of `gate_names(plan, first=champion is None)`, in their order; `on` gets each.

    newcomer, champion: folders of bundles. `cancelled` is asked each second while a gate runs, and ends it;
    what it or `on` raises passes through, and nothing runs then. An exception, a time-out and no data are
    inconclusive, never passed.
    """
    names = gate_names(plan, first=champion is None)
    found: list[GateResult] = []

    def ask(job: _Job) -> None:
        asked = tuple(gate for gate in job.gates if gate in names)
        if not asked:
            return
        limits = Limits(job.longest, plan.memory)
        for result in ask_contained(job.work, asked, limits, say=say, cancelled=cancelled):
            told(result)

    def told(result: GateResult) -> None:
        found.append(result)
        on(result)

    for job in _jobs_on_bundle(plan, newcomer):
        ask(job)
    try:
        _require_passed(found)
        pair = _engines(plan, newcomer, champion, say)
    except DemurError as error:
        for gate in names[len(found) :]:
            told(undecided(gate, str(error)))
        return found
    for job in _jobs_on_engines(plan, *pair, open_test_set):
        ask(job)
    return found


def _jobs_on_bundle(plan: GatesPlan, newcomer: Path) -> Iterator[_Job]:
    yield _Job(("signature",), partial(ask_signature, newcomer, plan), plan.longest)
    yield _Job(("verification",), partial(ask_verification, newcomer), plan.longest)


def _jobs_on_engines(
    plan: GatesPlan, newcomer: Served, champion: Served | None, open_test_set: OpenTestSet | None
) -> Iterator[_Job]:
    yield _Job(("golden",), partial(ask_golden, newcomer), plan.longest)
    yield _Job(("certificate",), partial(ask_certificate, newcomer, champion, plan.certificate), plan.longest)
    test_set = partial(ask_test_set, newcomer, champion, plan.regression, open_test_set)
    yield _Job(("regression", "risk"), test_set, plan.regression.longest)
    yield _Job(("latency",), partial(ask_latency, newcomer, champion, plan.speed), plan.longest)
    start = partial(ask_start, newcomer, champion, plan.speed, plan.longest)
    yield _Job(("memory", "start"), start, plan.longest)


def _require_passed(results: list[GateResult]) -> None:
    """Raise GateUndecided unless the gates on the bundle have passed."""
    for result in results:
        if result.outcome != "passed":
            raise GateUndecided(f"not asked, because {result.gate} has {_said(result)}")


def _said(result: GateResult) -> str:
    return "failed" if result.outcome == "failed" else "decided nothing"


def _engines(
    plan: GatesPlan, newcomer: Path, champion: Path | None, say: Say
) -> tuple[Served, Served | None]:
    """Both bundles on the engines that would serve them. Raises GateUndecided."""
    preference = engine_preference(plan)
    ours = served_by("newcomer", newcomer, preference, say)
    return ours, None if champion is None else served_by("champion", champion, preference, say)
