"""Names of a fleet's keys and channel in the store."""

from __future__ import annotations


def fleet_prefix(fleet: str) -> str:
    """Beginning of every key of a fleet; in braces is what Redis Cluster places by. Raises ValueError."""
    if not fleet or any(c in "{}" for c in fleet):
        raise ValueError(f"fleet is {fleet!r}; it must be a name without braces")
    return f"demur:{{{fleet}}}:fleet:"
