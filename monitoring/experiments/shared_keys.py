"""Keys of an experiment in the store of a fleet; two fleets on one store do not see each other."""

from __future__ import annotations

from typing import Final

KEEP: Final = 2 * 86_400
"""Seconds for which the store keeps what a service has counted, after the last look of any service"""


def logs_key(fleet: str, experiment: str) -> str:
    """The names of the event logs that were counted."""
    return f"{_prefix(fleet, experiment)}:logs"


def rows_key(fleet: str, experiment: str, log: str) -> str:
    """The rows of one log."""
    return f"{_prefix(fleet, experiment)}:rows:{log}"


def view_key(fleet: str, experiment: str, log: str) -> str:
    """What the service with this log has concluded from all rows."""
    return f"{_prefix(fleet, experiment)}:view:{log}"


def _prefix(fleet: str, experiment: str) -> str:
    # In braces is what Redis Cluster places by.
    return f"demur:{{{fleet}}}:experiment:{experiment}"
