"""Watched rules: those of a file as it is now. A changed file is taken as a whole, or its faults are said.

Each process looks for itself, so that workers and services need not tell each other.
"""

from __future__ import annotations

import time
from pathlib import Path
from threading import Lock
from typing import Final, Literal

from monitoring.alerts.rule_file import RulesUnreadable, read_rules
from monitoring.alerts.rules import AlertRules
from monitoring.alerts.signals import Labels, Reading

_RESTS: Final = 1.0
"""Seconds for which a file must have been left alone: an editor may be in the middle of it"""

Found = Literal["the same", "taken", "refused"]

_State = tuple[int, int, int, int]


class WatchedRules:
    """The rules of one file; used from any thread."""

    def __init__(self, path: Path | None, rules: AlertRules) -> None:
        """`rules`: those that were read at the start; `path`: None for the built-in ones, which stay."""
        self.path, self.now = path, rules
        self.why = ""
        """Faults of the file as it is now, in lines; empty while its rules are in force"""
        self._since: float | None = None
        self._lock = Lock()
        self._seen = _state(path)

    def look(self) -> Found:
        """Look whether the file has changed, and take its rules if they are sound."""
        with self._lock:
            state = _state(self.path)
            if self.path is None or state == self._seen or _is_fresh(state):
                return "the same"
            self._seen = state
            try:
                self.now = read_rules(self.path)
            except RulesUnreadable as error:
                self.why, self._since = str(error), self._since or time.time()
                return "refused"
            self.why, self._since = "", None
            return "taken"

    def reading(self, labels: Labels, now: float) -> Reading:
        """Whether the rules in force are older than the file, as a signal."""
        text = "the rules in force are those of the file"
        if self.why:
            text = (
                f"the rules file was changed and has faults, so the rules before it stay in force: {self.why}"
            )
        value = float(bool(self.why))
        return Reading("rules_refused", labels, value, None, None, None, self._since, now, text)


def _state(path: Path | None) -> _State | None:
    """What differs between two versions of a file, also behind a link; None if there is none."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _is_fresh(state: _State | None) -> bool:
    return state is not None and 0 <= time.time() - state[2] / 1e9 < _RESTS
