"""Findings about this installation, and the probes that make them, each bounded in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

Status = Literal["ok", "note", "missing", "broken"]
"""ok: works; note: worth knowing; missing: optional and absent; broken: asked for, or needed by everything,
and not working"""

TIME_LIMIT: Final = 20.0
"""Seconds for all probes together, which run side by side."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about the installation."""

    topic: str
    status: Status
    text: str
    remedy: str = ""
    """What to do about it, often a command"""


@dataclass(frozen=True, slots=True)
class Probe:
    """One look at the installation; `look` may fail or hang, and becomes a finding all the same."""

    topic: str
    look: Callable[[], Iterable[Finding]]


@dataclass(slots=True)
class _Look:
    probe: Probe
    findings: list[Finding] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        try:
            self.findings = list(self.probe.look())
        except Exception as error:  # a probe must not hide the findings of the others
            text = f"could not be examined ({type(error).__name__}: {error})"
            self.findings = [Finding(self.probe.topic, "note", text)]
        self.done.set()


def examine(probes: Sequence[Probe], limit: float = TIME_LIMIT) -> tuple[Finding, ...]:
    """The findings of all probes, in their order, after at most `limit` seconds."""
    looks = [_Look(probe) for probe in probes]
    for look in looks:
        # A probe that hangs, in a resolver for example, must not keep the process from ending.
        threading.Thread(target=look.run, name=f"doctor-{look.probe.topic}", daemon=True).start()
    end = time.monotonic() + limit
    found: list[Finding] = []
    for look in looks:
        if look.done.wait(max(0.0, end - time.monotonic())):
            found += look.findings
        else:
            found.append(Finding(look.probe.topic, "note", f"no answer within {limit:g} s"))
    return tuple(found)
