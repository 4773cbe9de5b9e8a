"""Memory of the store for a week of predictions, and what a full store forgets first.

    python benchmarks/event_memory.py [--predictions 1000000] [--labelled 0.5] [--units 200]
                                      [--memory 256mb] [--record [FOLDER]]

The same week of events goes into two Valkeys side by side, one without a bound and one with `--memory`. A
million predictions are one every .6 s; for a share of them a label follows within the hour, and .05 of the
items are audited. From the first store come the bytes per kind of entry; from the second, which predictions
it still knows at the end, and whether its windows and audits are those of the first. The exit code is 1 if
they are not. Needs no model and no service.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import redis
from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option

from monitoring.events import Event, FeedbackEvent, PredictionEvent
from monitoring.promise.items import AuditCounts, ItemChanges
from monitoring.promise.sampling import AuditSampler
from monitoring.promise.stored_items import StoredItems
from monitoring.store.connection import connect
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.windows.rolling import RollingWindows
from monitoring.windows.scripts import key_prefix
from monitoring.windows.snapshot import REWARD_SIZES
from monitoring.windows.unit_windows import ItemTimes
from trainer.run.console import RunConsole

MODEL, BUNDLE = "memory", "memory:0123456789abcdef"
PREFIX = key_prefix(MODEL, REWARD_SIZES)
WEEK = 7 * 86_400.0
SHARE, RISK, ANSWERED = 0.05, 0.01, 0.7
AT_A_TIME = 256
PARTS = 10
"""Spans of equal length of the week, for each of which the known predictions are counted"""
ASKED = 500
"""Predictions of each span that are looked for"""


@dataclass(frozen=True, slots=True)
class Plan:
    """The stream of events."""

    predictions: int
    labelled: float
    units: int
    """Cameras; 0: no units"""
    end: float
    """Unix time of the last prediction"""

    def events(self) -> Iterator[list[Event]]:
        """The week in batches, the same at each call."""
        rng = random.Random(0)
        sampler = AuditSampler(SHARE, ItemTimes().gap, uniform=rng.random)
        batch: list[Event] = []
        for number in range(self.predictions):
            at = round(self.end - WEEK * (1 - (number + 1) / self.predictions), 6)
            unit = f"camera-{rng.randrange(self.units)}" if self.units else None
            label = int(rng.random() < 0.5)
            answer = label if rng.random() < ANSWERED else None
            drawn = sampler.draw(BUNDLE, unit, at, None if answer is None else 1.0)
            batch.append(
                PredictionEvent(
                    request_id=request_id(number),
                    bundle=BUNDLE,
                    predicted=label,
                    answer=answer,
                    stage="A",
                    confidence=1.0,
                    probability=float(label),
                    at=at,
                    unit_id=unit,
                    audit=drawn.audit,
                    draw=drawn.draw,
                    audit_probability=drawn.probability,
                )
            )
            if rng.random() < self.labelled:
                truth = label if rng.random() > RISK else 1 - label
                batch.append(FeedbackEvent(request_id(number), truth, at + 3600 * rng.random()))
            if len(batch) >= AT_A_TIME:
                yield batch
                batch = []
        yield batch


@dataclass(frozen=True, slots=True)
class Held:
    """What a store holds after the week."""

    used: int
    """Bytes"""
    evicted: int
    known: Sequence[float]
    """Share of the predictions of each span that it still knows, the oldest span first"""
    windows: dict[str, Any]
    items: ItemChanges
    counts: AuditCounts
    item_bytes: dict[str, tuple[int, int]]
    """Kind of key -> (bytes, entries)"""


def request_id(number: int) -> str:
    """An id as the service draws them: 32 hexadecimal digits."""
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016x}"


def fill(plan: Plan, stores: Sequence[EmbeddedValkey], console: RunConsole) -> list[Held]:
    """Enter the week into new stores, side by side; what each holds afterwards."""
    clients = [connect(store.url, timeout=60.0) for store in stores]
    before = [int(client.info("memory")["used_memory"]) for client in clients]
    windows = [RollingWindows(client, MODEL) for client in clients]
    with (
        console.bar("Filling the stores", plan.predictions, unit="predictions") as bar,
        ThreadPoolExecutor(len(stores)) as pool,
    ):
        for batch in plan.events():
            list(pool.map(lambda each, events=batch: each.apply(events), windows))
            bar.advance(sum(isinstance(event, PredictionEvent) for event in batch))
        bar.finish("Filled")
    held = [_held(client, plan, empty) for client, empty in zip(clients, before, strict=True)]
    for client in clients:
        client.close()
    return held


def _held(client: redis.Redis, plan: Plan, empty: int) -> Held:
    """`empty`: bytes that the store used before."""
    reader = StoredItems(client, MODEL)
    return Held(
        used=int(client.info("memory")["used_memory"]) - empty,
        evicted=int(client.info("stats")["evicted_keys"]),
        known=_known(client, plan),
        windows=RollingWindows(client, MODEL).snapshot(BUNDLE).to_dict(),
        items=reader.changes(BUNDLE, None),
        counts=reader.counts(BUNDLE),
        item_bytes=_item_bytes(client),
    )


def _known(client: redis.Redis, plan: Plan) -> list[float]:
    shares = []
    for part in range(PARTS):
        first, last = plan.predictions * part // PARTS, plan.predictions * (part + 1) // PARTS
        pipe = client.pipeline(transaction=False)
        asked = range(first, last, max(1, (last - first) // ASKED))
        for number in asked:
            pipe.exists(f"{PREFIX}prediction:{request_id(number)}")
        shares.append(sum(pipe.execute()) / len(asked))
    return shares


def _item_bytes(client: redis.Redis) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for kind in ("counts", "audits", "units", "changes", "waiting"):
        keys = list(client.scan_iter(f"{PREFIX}items:{kind}:*", count=10_000))
        pipe = client.pipeline(transaction=False)
        for key in keys:
            pipe.memory_usage(key, samples=0)
            pipe.hlen(key) if kind in ("counts", "audits", "units") else pipe.zcard(key)
        replies = cast("list[int]", pipe.execute())
        found[kind] = sum(replies[::2]), len(keys) if kind == "counts" else sum(replies[1::2])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--predictions", type=int, default=1_000_000)
    parser.add_argument("--labelled", type=float, default=0.5)
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--memory", default="256mb")
    add_record_option(parser)
    given = parser.parse_args()
    recording = Recording.begin(given.record)
    plan = Plan(given.predictions, given.labelled, given.units, time.time())
    console = RunConsole()
    with (
        tempfile.TemporaryDirectory(prefix="memory-") as folder,
        EmbeddedValkey(Path(folder) / "free", memory="0") as without_bound,
        EmbeddedValkey(Path(folder) / "bound", memory=given.memory) as with_bound,
    ):
        free, bound = fill(plan, [without_bound, with_bound], console)
    same = (free.windows, free.counts, free.items.audits, free.items.unaudited, free.items.decided) == (
        *(bound.windows, bound.counts, bound.items.audits),
        *(bound.items.unaudited, bound.items.decided),
    )
    table, claims = _tables(plan, free, bound, given.memory, same)
    print(table)
    recording.save(
        "event-memory",
        "robustness",
        "Memory of the store",
        about=f"{plan.predictions:,} predictions of one week, {plan.labelled:.0%} of them labelled, "
        f"{plan.units} cameras, {SHARE:.0%} of the items audited: into a Valkey without a bound, and into "
        f"one of {given.memory}.",
        claims=claims,
        detail=table,
        raw=table,
    )
    if not same:
        sys.exit("the store with a bound holds other windows or other audits than the one without")


def _tables(plan: Plan, free: Held, bound: Held, memory: str, same: bool) -> tuple[str, list[Claim]]:
    audits = len(free.items.audits)
    changes, noted = free.item_bytes["changes"]
    minutes = free.item_bytes["counts"][1]
    of_audits = free.item_bytes["audits"][0] + free.item_bytes["waiting"][0] + changes * audits / noted
    of_items = sum(size for size, _ in free.item_bytes.values())
    rows = [
        ["all of it, MB", f"{free.used / 1e6:,.0f}"],
        [
            "a prediction with its label, if it has one, bytes",
            f"{(free.used - of_items) / plan.predictions:,.0f}",
        ],
        [f"an audit, bytes ({audits:,} of them)", f"{of_audits / max(1, audits):,.0f}"],
        [
            f"a minute of counts, bytes ({minutes:,} of them)",
            f"{(free.item_bytes['counts'][0] + changes * minutes / noted) / minutes:,.0f}",
        ],
        [
            f"a window of a unit, bytes ({free.item_bytes['units'][1]:,} of them)",
            f"{free.item_bytes['units'][0] / max(1, free.item_bytes['units'][1]):,.0f}",
        ],
        [f"with {memory}: memory in use, MB", f"{bound.used / 1e6:,.0f}"],
        [f"with {memory}: keys evicted", f"{bound.evicted:,}"],
    ]
    spans = [
        [f"{7 * (PARTS - part) / PARTS:.1f} to {7 * (PARTS - part - 1) / PARTS:.1f}", f"{share:.1%}"]
        for part, share in enumerate(bound.known)
    ]
    table = "\n".join(
        (
            markdown(["what", "seen"], rows),
            markdown(["age of a prediction, days", f"still known with {memory}"], spans),
        )
    )
    claim = Claim(
        f"{plan.predictions:,} predictions in {memory}: windows, audits and counts are those of a store "
        "without a bound",
        f"{'the same' if same else 'others'}, {bound.evicted:,} predictions evicted",
        "the same",
        same,
    )
    return table, [claim]


if __name__ == "__main__":
    main()
