"""The items in the store: `ItemReader` over Redis or Valkey."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Self, cast

import redis
from redis.exceptions import ResponseError

from monitoring.promise.items import AuditCounts, AuditItem, AuditPage, ItemChanges, WaitingAudit
from monitoring.store.connection import connect, translated_errors
from monitoring.store.contract import StoreUnavailable
from monitoring.windows.scripts import Script, key_prefix, run_script
from monitoring.windows.snapshot import REWARD_SIZES
from monitoring.windows.unit_windows import ItemTimes

_CHANGES_AT_A_TIME: Final = 250
"""A change of a minute carries up to 180 counts, and the store does nothing else meanwhile."""
_MORE_AT_A_TIME: Final = 100
_RECORD: Final = struct.Struct(">dddhhH")
"""As in items.lua: made, probability, time of the label, answer, label, length of the part; part and unit
follow"""
_COUNT: Final = re.compile(r"(\d+)([uda])(.*)", re.DOTALL)
"""Name of a count of a minute: second, kind, part"""
_NO_LABEL: Final = -1
_Identity = tuple[str, str]
"""The server's run and the beginning of a bundle's items. Another one: numbers of changes mean nothing."""


class StoredItems:
    """An `ItemReader`; used from one thread."""

    def __init__(
        self,
        client: redis.Redis,
        model: str,
        times: ItemTimes | None = None,
        *,
        sizes: Sequence[int] = REWARD_SIZES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`times`, `sizes`: those of the windows with which the events are entered; `clock`: Unix time,
        seconds."""
        self._client = client
        self._prefix = key_prefix(model, sizes)
        self._times = times or ItemTimes()
        self._clock = clock
        self._script = Script("changes")
        self._seen: dict[str, _Identity] = {}

    @classmethod
    def at(
        cls,
        url: str,
        model: str,
        times: ItemTimes,
        *,
        sizes: Sequence[int],
        timeout: float = 1.0,
    ) -> Self:
        """The items in the store at `url`, over a connection of their own; `close` at the end.

        `timeout`: seconds after which a call gives up.
        """
        return cls(connect(url, timeout=timeout), model, times, sizes=sizes)

    def close(self) -> None:
        """Close the connections to the store."""
        self._client.close()

    def changes(self, bundle: str, after: int | None) -> ItemChanges:
        """See `ItemReader`."""
        with translated_errors():
            run = self._run()
            page = self._page(bundle, after or 0)
            # A server that was restarted may have lost its latest changes and given their numbers to others.
            complete = after is None or self._seen.get(bundle) != (run, page.epoch)
            if complete and after:
                page = self._page(bundle, 0)
            began, found = page.epoch, _Found()
            while page.epoch == began:
                found.add(page, complete=complete)
                if not page.full:
                    break
                page = self._page(bundle, page.last)
            else:
                raise StoreUnavailable("it has lost its memory while the items were read")
            self._seen[bundle] = (run, page.epoch)
        since = max(page.since, self._clock() - self._times.kept)
        return found.changes(page, complete=complete, since=since)

    def waiting(self, bundle: str | None, after: str | None, limit: int) -> AuditPage:
        """See `ItemReader`."""
        oldest = self._clock() - self._times.wait
        behind = (oldest, "") if after is None else max(_read_cursor(after), (oldest, ""))
        with translated_errors():
            bundles = self._bundles() if bundle is None else [bundle]
            each = [one for name in bundles for one in self._first_waiting(name, behind, limit + 1)]
        each.sort(key=lambda audit: (audit.at, audit.request_id))
        shown = each[:limit]
        return AuditPage(shown, _cursor(shown[-1]) if len(each) > limit else None)

    def counts(self, bundle: str) -> AuditCounts:
        """See `ItemReader`."""
        names = ("drawn", "replaced", "labelled", "expired")
        overdue = self._clock() - self._times.wait
        with translated_errors():
            held = cast("list[bytes | None]", self._client.hmget(self._key("totals", bundle), names))
            late = self._client.zcount(self._key("waiting", bundle), "-inf", f"({overdue:.6f}")
        drawn, replaced, labelled, expired = (int(value or 0) for value in held)
        return AuditCounts(drawn, replaced, labelled, expired + late)

    def _key(self, part: str, bundle: str) -> str:
        return f"{self._prefix}items:{part}:{bundle}"

    def _run(self) -> str:
        try:
            return str(self._client.info("server").get("run_id", ""))
        except ResponseError:
            return ""  # not every account may ask

    def _page(self, bundle: str, after: int) -> _Page:
        key = self._key("totals", bundle)
        arguments = (self._prefix, bundle, after, _CHANGES_AT_A_TIME)
        return _Page(run_script(self._client, self._script, key, *arguments))

    def _bundles(self) -> list[str]:
        return [
            name.decode()
            for name in cast("list[bytes]", self._client.zrange(f"{self._prefix}bundles", 0, -1))
        ]

    def _first_waiting(self, bundle: str, behind: tuple[float, str], most: int) -> list[WaitingAudit]:
        """The first `most` audits behind (time, id)."""
        found: list[WaitingAudit] = []
        start = 0
        while len(found) < most:
            ids = cast(
                "list[tuple[bytes, float]]",
                self._client.zrangebyscore(
                    self._key("waiting", bundle),
                    f"{behind[0]:.6f}",
                    "+inf",
                    start=start,
                    num=_MORE_AT_A_TIME + most,
                    withscores=True,
                ),
            )
            if not ids:
                break
            start += len(ids)
            new = [(request_id.decode(), at) for request_id, at in ids]
            new = [(request_id, at) for request_id, at in new if (at, request_id) > behind]
            found += self._with_units(bundle, new[: most - len(found)])
        return found

    def _with_units(self, bundle: str, waiting: list[tuple[str, float]]) -> Iterator[WaitingAudit]:
        pipe = self._client.pipeline(transaction=False)
        for request_id, at in waiting:
            pipe.hget(f"{self._key('audits', bundle)}:{int(at // 60)}", request_id)
        for (request_id, at), record in zip(waiting, pipe.execute(), strict=True):
            if record:  # else it was replaced or forgotten between the two calls
                yield WaitingAudit(request_id, _unit(record), bundle, at)


class _Page:
    """One reply of changes.lua."""

    def __init__(self, reply: list[Any]) -> None:
        epoch, since, units, last, self.counts, self.audits = reply
        self.epoch = epoch.decode()
        self.since = float(since)
        self.with_units = bool(units)
        self.last = int(last)
        self.full = len(self.counts) + len(self.audits) == _CHANGES_AT_A_TIME


class _Found:
    """The changes of several pages."""

    def __init__(self) -> None:
        self._audits: dict[str, AuditItem] = {}
        self._removed: list[str] = []
        self._unaudited: dict[int, dict[str, int]] = {}
        self._decided: dict[int, tuple[int, int]] = {}

    def add(self, page: _Page, *, complete: bool) -> None:
        for minute, flat in page.counts:
            self._add_counts(60 * int(minute), dict(zip(flat[::2], flat[1::2], strict=True)))
        for name, record in page.audits:
            request_id = name.decode()
            if record:
                self._audits[request_id] = _audit(request_id, record)
                continue
            self._audits.pop(request_id, None)
            if not complete:
                self._removed.append(request_id)

    def _add_counts(self, minute: int, counts: dict[bytes, bytes]) -> None:
        for name, number in counts.items():
            found = _COUNT.fullmatch(name.decode())
            assert found is not None  # noqa: S101 - items.lua names the counts
            second, kind, part = minute + int(found[1]), found[2], found[3]
            parts = self._unaudited.setdefault(second, {})
            decided, answered = self._decided.get(second, (0, 0))
            if kind == "u":
                parts[part] = int(number)
            decided = int(number) if kind == "d" else decided
            self._decided[second] = (decided, int(number) if kind == "a" else answered)

    def changes(self, page: _Page, *, complete: bool, since: float) -> ItemChanges:
        return ItemChanges(
            sequence=page.last,
            audits=list(self._audits.values()),
            removed=self._removed,
            unaudited=self._unaudited,
            decided=self._decided,
            complete=complete,
            since=since,
            with_units=page.with_units,
        )


def _audit(request_id: str, record: bytes) -> AuditItem:
    made, probability, label_at, answer, label, length = _RECORD.unpack_from(record)
    labelled = label != _NO_LABEL
    return AuditItem(
        request_id=request_id,
        unit_id=_unit(record),
        at=made,
        probability=probability,
        wrong=label != answer if labelled else None,
        label_at=label_at if labelled else None,
        part=record[_RECORD.size : _RECORD.size + length].decode(),
    )


def _unit(record: bytes) -> str | None:
    *_, length = _RECORD.unpack_from(record)
    return record[_RECORD.size + length :].decode() or None


def _cursor(audit: WaitingAudit) -> str:
    return f"{audit.at:.6f}_{audit.request_id}"


def _read_cursor(text: str) -> tuple[float, str]:
    at, _, request_id = text.partition("_")
    try:
        time_of_answer = float(at)
    except ValueError:
        time_of_answer = float("nan")
    if not 0.0 <= time_of_answer < float("inf") or not request_id:
        raise ValueError(f"after is {text[:200]!r}; it must be the `next` of an earlier page, or be left out")
    return time_of_answer, request_id
