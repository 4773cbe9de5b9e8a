"""Streams of items as the store would send them, in any order and in any number of pieces."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitoring.promise.items import NO_PART, AuditItem, ItemChanges


@dataclass(frozen=True)
class Answered:
    """One answered item."""

    at: float
    audited: bool = True
    wrong: bool | None = False
    probability: float = 1.0
    part: str = NO_PART
    abstained: bool = False
    """It is none: an abstention, which counts for the coverage alone."""

    def audit(self) -> AuditItem:
        label_at = None if self.wrong is None else self.at + 1.0
        return AuditItem(f"r{self.at:.6f}", None, self.at, self.probability, self.wrong, label_at, self.part)


def changes(items: Sequence[Answered], *, complete: bool = False, **further: Any) -> ItemChanges:
    """One message with all of `items`."""
    unaudited: dict[int, Counter[str]] = defaultdict(Counter)
    decided: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for item in items:
        second = int(item.at)
        decided[second][0] += 1
        decided[second][1] += not item.abstained
        if not item.audited and not item.abstained:
            unaudited[second][item.part] += 1
    return ItemChanges(
        sequence=len(items),
        audits=[item.audit() for item in items if item.audited and not item.abstained],
        removed=further.pop("removed", ()),
        unaudited=unaudited,
        decided={second: (all_of_it, answered) for second, (all_of_it, answered) in decided.items()},
        complete=complete,
        since=further.pop("since", 0.0),
        with_units=further.pop("with_units", False),
    )


def in_pieces(items: Sequence[Answered], seed: int, pieces: int = 20) -> list[ItemChanges]:
    """The same items in messages of whole seconds, shuffled; some seconds come twice."""
    rng = np.random.default_rng(seed)
    by_second: dict[int, list[Answered]] = defaultdict(list)
    for item in items:
        by_second[int(item.at)].append(item)
    seconds = rng.permutation(list(by_second)).tolist()
    again = rng.choice(seconds, min(5, len(seconds)), replace=False).tolist()
    return [
        changes([item for second in {int(one) for one in piece} for item in by_second[second]])
        for piece in np.array_split([*seconds, *again], pieces)
        if len(piece)
    ]


def stream(
    n: int, risk: float, seed: int, *, share: float = 1.0, begin: float = 1_000_000.0, pause: float = 1.0
) -> list[Answered]:
    """`n` answered items, one each `pause` seconds, of which `share` is audited."""
    rng = np.random.default_rng(seed)
    audited, wrong = rng.random(n) < share, rng.random(n) < risk
    return [Answered(begin + pause * k, bool(audited[k]), bool(wrong[k]), share) for k in range(n)]
