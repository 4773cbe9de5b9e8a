"""Course of the guardrails within one step: a bounded number of looks, for the pictures of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from deploy.gates.outcome import GateResult

_MOST: Final = 200
"""Looks per guardrail; beyond them every second one is dropped"""
_SHOWN: Final = ("low", "high")

Look = tuple[float, float | None, float | None, float | None]
"""Unix time, harm, and the ends of its interval"""


class Course:
    """What each guardrail has said since the step began."""

    def __init__(self) -> None:
        self._looks: dict[str, list[Look]] = {}
        self._every, self._seen = 1, 0

    def add(self, at: float, results: Sequence[GateResult]) -> None:
        """Take one look. `at`: Unix time, seconds."""
        self._seen += 1
        if self._seen % self._every:
            return
        for one in results:
            if isinstance(one.figure, float) and "low" in one.details:
                low, high = (one.details.get(name) for name in _SHOWN)
                self._looks.setdefault(one.gate, []).append((at, one.figure, low, high))
        if max(map(len, self._looks.values()), default=0) > _MOST:
            self._looks = {gate: looks[::2] for gate, looks in self._looks.items()}
            self._every *= 2

    def kept_in(self, results: Sequence[GateResult]) -> tuple[GateResult, ...]:
        """The results, each with the course of its gate as `course` in the details."""
        return tuple(
            replace(one, details={**one.details, "course": self._looks[one.gate]})
            if one.gate in self._looks
            else one
            for one in results
        )
