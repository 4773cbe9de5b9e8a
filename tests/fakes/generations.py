"""Parts of a fleet's records, for tests that need no bundle."""

from __future__ import annotations

from typing import Any

from bundle.registry.generation import Challenger, Change, Generation, PromotionState, Ref


def ref(letter: str) -> Ref:
    """A bundle by one hexadecimal digit."""
    return Ref(letter * 64, f"scenes:{letter * 16}")


def change(reason: str = "a test", at: float = 1000.0) -> Change:
    """A change by the tests."""
    return Change(at, "tests", reason)


def promotion(newcomer: Ref, **fields: Any) -> PromotionState:
    """A promotion in its shadow phase."""
    values: dict[str, Any] = {
        "id": "p1",
        "newcomer": newcomer,
        "phase": "shadow",
        "step": 0,
        "term": 1,
        "holder": "host-1",
        "plan": {"canary": [0.1, 0.5]},
        "started": change("to promote"),
        **fields,
    }
    return PromotionState(**values)


def generation(number: int = 1, champion: str | None = "a", **fields: Any) -> Generation:
    """A record; `champion`: one hexadecimal digit."""
    values = {"change": change(), **fields}
    return Generation(number, None if champion is None else ref(champion), **values)


def challenger(letter: str, share: float | None = None) -> Challenger:
    """A challenger by one hexadecimal digit."""
    return Challenger(f"name-{letter}", ref(letter), share)
