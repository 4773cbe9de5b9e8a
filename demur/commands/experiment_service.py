"""`demur experiment start, status, share, withdraw and stop`: an experiment of a running service."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from demur.client.private_port import PrivatePort
from demur.errors import InterfaceError

_GUARDS: Final = ("coverage", "risk", "errors", "latency")
_OFF: Final = "off"
CHANGE: Final = 600.0
"""Seconds for a change: a bundle that is new to the service is tried first."""


class MalformedArm(InterfaceError, ValueError):
    """Arms, shares or guardrails are not written as they are read."""


@dataclass(frozen=True, slots=True)
class NewExperiment:
    """An experiment as it was asked for on the command line."""

    name: str
    by: str
    reason: str
    arms: Sequence[str] = ()
    """BUNDLE=SHARE or BUNDLE=shadow"""
    metrics: Sequence[str] = ()
    guardrails: Sequence[str] = ()
    """NAME=LIMIT or NAME=off"""
    slow: float | None = None
    on_mismatch: str = "hold"
    salt: str | None = field(default=None, repr=False)

    def body(self) -> dict[str, Any]:
        """The body of POST /experiments. Raises MalformedArm with every fault."""
        faults: list[str] = []
        arms = dict(_pairs("--arm", self.arms, faults))
        limits: dict[str, Any] = dict(_pairs("--guardrail", self.guardrails, faults))
        known = ", ".join(_GUARDS)
        faults += [f"--guardrail is {name!r}; it must be one of {known}" for name in limits.keys() - _GUARDS]
        if faults:
            raise MalformedArm("; ".join(faults))
        if self.slow is not None:
            limits["slow"] = self.slow
        body: dict[str, Any] = {"name": self.name, "by": self.by, "reason": self.reason}
        body |= {"arms": arms, "on_mismatch": self.on_mismatch}
        given = {"guardrails": limits, "metrics": list(self.metrics), "salt": self.salt}
        return body | {name: value for name, value in given.items() if value}


def start(port: PrivatePort, asked: NewExperiment) -> Mapping[str, Any]:
    """Start an experiment. Raises MalformedArm and ClientError."""
    return port.send("POST", "/experiments", asked.body())


def experiments(port: PrivatePort) -> list[dict[str, Any]]:
    """All experiments, the latest start first. Raises ClientError."""
    found: list[dict[str, Any]] = port.get("/experiments")["experiments"]
    return found


def change(port: PrivatePort, name: str, action: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Share, withdraw or stop. Raises ClientError."""
    return port.send("POST", f"/experiments/{quote(name, safe='')}/{action}", body)


def share_of(text: str) -> float | str:
    """A share, or shadow. Raises MalformedArm."""
    faults: list[str] = []
    ((_, share),) = list(_pairs("the share", [f"arm={text}"], faults)) or [("", "")]
    if faults:
        raise MalformedArm(f"the share is {text!r}; it must be a number above 0 and at most 1, or shadow")
    return 0.0 if share is None else share


def _agreement(found: Mapping[str, Any] | None) -> str:
    """How often a shadow decides as the control does."""
    if not found or found["agreement"] is None:
        return ""
    low, high, share = (100.0 * found[name] for name in ("low", "high", "agreement"))
    return (
        f", decides as the control in {share:.1f} % ({low:.1f} to {high:.1f}) of {found['requests']:,} "
        f"requests of {found['units']:,} units"
    )


def status_lines(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The running experiment in full, and a line for each that has ended."""
    running = [one for one in found if one["running"]]
    if not running:
        yield "No experiment runs."
    for one in running:
        yield from experiment_lines(one)
    for one in found:
        if not one["running"]:
            ended = one["ended"]
            yield f"{one['name']}  ended {_day(ended['at'])} by {ended['by']}: {ended['reason']}"


def experiment_lines(one: Mapping[str, Any]) -> Iterator[str]:
    """Arms, ratio, guardrails and withdrawals of an experiment."""
    note, view = one["started"], one["view"] or {}
    yield f"{one['name']}  since {_day(note['at'])} by {note['by']}: {note['reason']}"
    if one["mismatch"] is not None:
        yield f"  BLOCKED, nothing is concluded: {one['mismatch']['reason']}"
    services = view.get("services", 1)
    yield f"  stratum {len(one['strata']) - 1}" + (
        f", counted by {services} services" if services > 1 else ""
    )
    shares, units = one["strata"][-1]["shares"], {arm["arm"]: arm["units"] for arm in view.get("arms", ())}
    control = max(0.0, 1.0 - sum(shares.values()))
    for arm, share in {"control": control, **shares}.items():
        bundle = f" ({one['control']['label']})" if arm == "control" else ""
        yield f"  {arm}{bundle}  {100 * share:.4g} % of the units, {units.get(arm, 0):,} so far"
    for arm in one["strata"][-1]["shadows"]:
        yield f"  {arm}  shadow{_agreement(view.get('shadows', {}).get(arm))}"
    for reading in view.get("guardrails", ()):
        yield f"  {reading['text']}"
    for left in one["withdrawals"]:
        yield f"  {left['arm']} left {_day(left['note']['at'])} ({left['cause']}): {left['note']['reason']}"


def _pairs(option: str, texts: Sequence[str], faults: list[str]) -> Iterator[tuple[str, float | str | None]]:
    """(name, number), (name, "shadow") or (name, None) for `off`; faults are added to the list."""
    for text in texts:
        name, equals, value = text.rpartition("=")
        word = value.strip().lower()
        if equals and name and word in ("shadow", _OFF):
            yield name, None if word == _OFF else word
            continue
        try:
            number = float(value)
            if not (equals and name and math.isfinite(number)):
                raise ValueError
            yield name, number
        except ValueError:
            faults.append(f"{option} is {text!r}; it must be like NAME=0.1")


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
