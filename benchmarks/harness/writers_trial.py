"""Two processes that write one fleet of a registry at the same moment, again and again."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import Any, Final

from bundle.registry.changes import promoted
from bundle.registry.fleet_log import Overtaken
from bundle.registry.generation import Change, Generation, Ref
from bundle.registry.opening import open_registry

FLEET: Final = "writers"
_PATIENCE: Final = 120.0
_BUNDLES: Final = tuple(Ref(number * 64, f"tiny:{number * 16}") for number in ("1", "2"))
"""What the writers call the champion; a record may name a bundle that is pushed later."""


@dataclass(frozen=True, slots=True)
class Writers:
    """What two writers of one fleet did to each other."""

    rounds: int
    two_winners: int
    """Rounds in which both were told that they had written the generation, or neither was"""
    wrongly_told: int
    """Losers that were told of another record than the winner's"""
    lost: int
    """Changes that were said to be written and are in no record"""
    unlike: int
    """Records that hold another change than the one whose writer was told that it won"""

    @property
    def faults(self) -> list[str]:
        found = {
            f"{self.two_winners} rounds without exactly one winner": self.two_winners,
            f"{self.wrongly_told} writers were told of another record": self.wrongly_told,
            f"{self.lost} changes were lost": self.lost,
            f"{self.unlike} records are not those of their writers": self.unlike,
        }
        return [text for text, count in found.items() if count]


def write_at_once(address: str, rounds: int) -> Writers:
    """Both write the next generation, `rounds` times; then both change the newest one, as often.

    A record has its writer and round as its reason.
    """
    log = open_registry(address).fleet(FLEET)
    log.change(lambda now: promoted(now, _BUNDLES[0], Change(time.time(), "nobody", "the first")))
    appended = _both(_append, address, rounds)
    won = [[told for told in pair if told[0] == "won"] for pair in appended]
    lost = [[told for told in pair if told[0] == "told"] for pair in appended]
    single = [
        (one[0][1], other[0][1]) for one, other in zip(won, lost, strict=True) if len(one) == len(other) == 1
    ]
    changed = {reason for pair in _both(_change, address, rounds) for _, reason in pair}
    held = {one.change.reason: one for one in log.history()}
    said = [one[1] for ones in won for one in ones]
    return Writers(
        rounds,
        two_winners=rounds - len(single),
        wrongly_told=sum(winner != told for winner, told in single),
        lost=sum(reason not in held for reason in (*said, *changed)),
        unlike=len(held) - 1 - len(set(said)) - len(changed),
    )


def _append(address: str, rounds: int, writer: int, start: Barrier, told: Any) -> None:
    log = open_registry(address).fleet(FLEET)
    for number in range(rounds):
        start.wait(_PATIENCE)
        made = _made(log.newest(), writer, f"append {number} of {writer}")
        start.wait(_PATIENCE)
        try:
            log.append(made)
            told.put((number, ("won", made.change.reason)))
        except Overtaken as error:
            told.put((number, ("told", error.newest.change.reason)))


def _change(address: str, rounds: int, writer: int, start: Barrier, told: Any) -> None:
    log = open_registry(address).fleet(FLEET)
    for number in range(rounds):
        reason = f"change {number} of {writer}"
        start.wait(_PATIENCE)
        log.change(lambda now, reason=reason: _made(now, writer, reason))
        told.put((number, ("won", reason)))


def _made(now: Generation | None, writer: int, reason: str) -> Generation:
    assert now is not None
    return promoted(now, _BUNDLES[writer], Change(time.time(), f"writer {writer}", reason))


def _both(work: Callable[..., None], address: str, rounds: int) -> list[list[tuple[str, str]]]:
    """What the two writers were told, by round."""
    context = multiprocessing.get_context("spawn")
    start, told = context.Barrier(2), context.Queue()
    writers = [context.Process(target=work, args=(address, rounds, one, start, told)) for one in (0, 1)]
    for writer in writers:
        writer.start()
    found: list[list[tuple[str, str]]] = [[] for _ in range(rounds)]
    for _ in range(2 * rounds):
        number, said = told.get(timeout=_PATIENCE)
        found[number].append(said)
    for writer in writers:
        writer.join(_PATIENCE)
    return found
