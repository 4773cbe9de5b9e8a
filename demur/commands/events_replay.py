"""`demur events replay`: the events of the logs into a store, and a recount of its windows and items."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from demur.commands.events import EventCounts, EventLogs
from demur.errors import InterfaceError
from demur.output import run_console, write_json
from monitoring.promise.item_recount import CountedItems, ItemRecount
from monitoring.promise.stored_items import StoredItems
from monitoring.store.contract import EventRefused
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.store.shared_document import require_url, shown
from monitoring.windows.latest_labels import LatestLabels
from monitoring.windows.recount import Comparison, Recount
from monitoring.windows.rolling import RollingWindows
from service.settings import Settings

_TIMEOUT: Final = 30.0
"""Seconds for one reply of the store: a batch of events takes longer than what a service asks for."""
_NAMED: Final = 20
"""Differences that the message names."""
TEMPORARY: Final = "a temporary store"


class NoStoreNamed(InterfaceError, ValueError):
    """Nothing was said of where the events are to go."""


class FiguresDiffer(InterfaceError):
    """The windows of the store, or the items of the monitors, are not what the events say."""


def replay(settings: Settings, store: str | None, *, check: bool, as_json: bool) -> None:
    """Enter all events into the store at `store`; None: into one of its own that ends with the check.

    Raises NoEvents, NoStoreNamed, StoreUnavailable, and FiguresDiffer if `check` finds a difference.
    """
    if store is None and not check:
        raise NoStoreNamed(
            "name the store with --store redis://HOST:PORT/DB, or count the windows again with --check"
        )
    logs = EventLogs.of(settings)
    console = run_console(as_json)
    counts, outcomes = EventCounts(), Counter[str]()
    recount = Recount(LatestLabels(settings.prediction_ttl, settings.parked_ttl))
    items = ItemRecount(settings.item_times())
    with _store(store) as url, closing(_windows(settings, url, logs.model)) as windows:
        for batch in logs.batches(console, "Entering"):
            counts.add(batch)
            for outcome in windows.apply(batch):
                outcomes["refused" if isinstance(outcome, EventRefused) else outcome] += 1
            if check:
                recount.add(batch)
                items.add(batch)
        comparison = recount.compare(windows.snapshots(recount.scopes())) if check else None
        if comparison is not None:
            _compare_items(comparison, items, settings, url, logs.model)
    place = TEMPORARY if store is None else shown(store)
    console.note(f"{counts} of {logs.model} are in {place}: {_in_words(outcomes)}.")
    if logs.unreadable:
        console.warn(f"{logs.unreadable:,} lines of the logs are no events and were left out.")
    if comparison is not None:
        _require_agreement(comparison)
        console.note(f"All {comparison.figures:,} figures are what the events say.")
    if as_json:
        write_json(
            {
                "model": logs.model,
                "store": place,
                "predictions": counts.predictions,
                "labels": counts.labels,
                "unreadable": logs.unreadable,
                "outcomes": dict(outcomes),
                "figures_compared": None if comparison is None else comparison.figures,
            }
        )


@contextmanager
def _store(url: str | None) -> Iterator[str]:
    if url is not None:
        require_url(url)
        yield url
        return
    with (
        tempfile.TemporaryDirectory(prefix="demur-replay-") as folder,
        EmbeddedValkey(Path(folder), memory="0") as server,
    ):
        yield server.url


def _windows(settings: Settings, url: str, model: str) -> RollingWindows:
    return RollingWindows.at(
        url,
        model,
        sizes=settings.windows,
        timeout=_TIMEOUT,
        prediction_ttl=settings.prediction_ttl,
        parked_ttl=settings.parked_ttl,
        items=settings.item_times(),
    )


def _compare_items(
    comparison: Comparison, recount: ItemRecount, settings: Settings, url: str, model: str
) -> None:
    """Count the items of the monitors again, of every bundle, as far back as the store holds them."""
    times = settings.item_times()
    with closing(StoredItems.at(url, model, times, sizes=settings.windows, timeout=_TIMEOUT)) as reader:
        for bundle in recount.bundles():
            changes = reader.changes(bundle, None)
            # A window that has begun before the store remembers may have lost its smallest draw.
            since = changes.since + times.gap + 1.0
            counted, held = recount.items(bundle).since(since), CountedItems.held(changes).since(since)
            comparison.figures += len(counted.audits) + len(counted.unaudited) + len(counted.decided)
            comparison.differences += [f"{bundle}: {one}" for one in held.differences(counted)]


def _require_agreement(comparison: Comparison) -> None:
    found = comparison.differences
    if not found:
        return
    more = f"; and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
    raise FiguresDiffer(
        f"{len(found):,} of {comparison.figures:,} figures differ: {'; '.join(found[:_NAMED])}{more}"
    )


def _in_words(outcomes: Counter[str]) -> str:
    return ", ".join(f"{n:,} {outcome}" for outcome, n in outcomes.most_common()) or "none"
