"""A promotion as its records tell it: gates, shadow, two canary steps and an end, in a real registry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fakes.generations import change, generation, promotion, ref

from bundle.registry.generation import Approval, Challenger, Generation, Ref
from bundle.registry.opening import open_registry
from bundle.registry.registry import Registry
from deploy.gates.outcome import GateResult
from deploy.gates.plan import SpeedGate
from deploy.gates.speed import latency_result

FLEET = "scenes"
NEWCOMER = ref("b")
BEGAN = 1_800_000_000.0
MINUTE = 60.0


def latency(seed: int = 0) -> GateResult:
    """Latencies of about 12 and 11 ms."""
    rng = np.random.default_rng(seed)
    return latency_result([rng.gamma(40, m / 40, (60, 10)) for m in (0.012, 0.011)], SpeedGate())


def kept(at: float, phase: str, step: int, result: GateResult) -> dict[str, Any]:
    """A result as a record keeps it."""
    return {"at": at, "phase": phase, "step": step, **result.to_values()}


def guard(name: str, harm: float, spread: float, limit: float) -> GateResult:
    """A reading of a guardrail with its interval."""
    ends = {"low": harm - spread, "high": harm + spread, "units": [900, 100]}
    outcome: Any = (
        "failed" if harm - spread > limit else "passed" if harm + spread <= limit else "inconclusive"
    )
    return GateResult(f"guardrail {name}", outcome, f"{name} differs by {harm:.1%}", harm, limit, ends)


def written_story(folder: Path, *, end: str = "rolled-back", **fields: Any) -> tuple[Registry, Generation]:
    """(registry, the record that ends the promotion). `end`: its last phase; `fields`: of its state."""
    registry = open_registry(str(folder / "registry"))
    log = registry.fleet(FLEET)
    log.append(generation(1, "a", change=change("the first bundle", BEGAN - 86_400.0)))
    results: list[dict[str, Any]] = []
    now = generation(1, "a")
    for number, (phase, step, share, minutes, said) in enumerate(_steps(end), start=2):
        at = BEGAN + minutes * MINUTE
        results += [kept(at, before, index, one) for before, index, one in said]
        state = promotion(
            NEWCOMER,
            id="20270115-080000-ab12cd",
            phase=phase,
            step=step,
            plan={"gates": {}},
            started=change("a newer backbone", BEGAN),
            results=tuple(results),
            since=at,
            why="canary 25 %: guardrail risk has failed: risk differs by 8.0 %"
            if phase == "rolled-back"
            else None,
            approval=Approval(at, "Ada", "looks right | <b>yes</b>") if phase == "promoted" else None,
        )
        state = replace(state, **fields)
        beside = (Challenger("newcomer", NEWCOMER, share),) if phase in ("shadow", "canary") else ()
        champion: Ref = NEWCOMER if phase in ("everything", "promoted") else ref("a")
        now = Generation(number, champion, change(f"{phase} begins", at), challengers=beside, promotion=state)
        log.append(now)
    return registry, now


def _steps(end: str) -> list[tuple[str, int, float | None, float, list[tuple[str, int, GateResult]]]]:
    """(phase, step, share, minutes since the beginning, results that the step before has left)"""
    verified = GateResult(
        "verification", "passed", "17 files are as they were written", "17 files", "as written"
    )
    offline = [("gates", 0, one) for one in (verified, latency())]
    agreement = GateResult("shadow agreement", "passed", "99.10 %; at least 90.00 % is needed", 0.991, 0.9)
    first = [
        guard("coverage", 0.01, 0.05, 0.1),
        guard("risk", 0.02, 0.025, 0.05),
        guard("latency", 0.0, 0.04, 0.1),
    ]
    harm = 0.08 if end == "rolled-back" else 0.0
    second = [
        guard("coverage", 0.01, 0.02, 0.1),
        guard("risk", harm, 0.02, 0.05),
        guard("latency", 0.01, 0.02, 0.1),
    ]
    last = [("canary", 1, one) for one in second]
    course = [
        ("gates", 0, None, 0.0, []),
        ("prepare", 0, None, 2.0, offline),
        ("shadow", 0, None, 2.5, []),
        ("canary", 0, 0.05, 12.0, [("shadow", 0, agreement)]),
        ("canary", 1, 0.25, 40.0, [("canary", 0, one) for one in first]),
    ]
    if end == "promoted":
        course.append(("everything", 0, None, 75.0, last))
    return [*course, (end, 0, None, 75.5, [] if end == "promoted" else last)]
