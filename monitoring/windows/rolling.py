"""Rolling windows over delayed labels, kept in Redis or Valkey by Lua scripts.

Each script is atomic and idempotent, so any number of processes may write, an event may be sent twice,
and labels may come late, early, twice, corrected or in any order: the windows end up the same. They
hold the last N *labelled* predictions in the order in which they were *made*, one set of windows per
bundle version. All keys of a model share one {hash tag}, as Redis Cluster requires.

Events from a log carry the position that they lead to. The store keeps that position beside the
windows, so a store that has lost its memory is recognised by it and receives everything again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self, cast

import redis
from redis.exceptions import NoScriptError, ResponseError

from calibration.metrics.reward import ACCURACY_WINDOW, MCC_WINDOW
from monitoring.events import Event, PredictionEvent
from monitoring.store.connection import connect, translated_errors
from monitoring.store.contract import EventOutcome, EventRefused, PositionLost
from monitoring.windows.scripts import Script, key_prefix, run_script
from monitoring.windows.snapshot import RollingSnapshot, SeriesSnapshot, WindowSnapshot
from monitoring.windows.unit_windows import ItemTimes

ACC_SIZE: Final = ACCURACY_WINDOW
MCC_SIZE: Final = MCC_WINDOW
_SIZES: Final = f"{ACC_SIZE},{MCC_SIZE}"
_LAGS_KEPT: Final = 100
_RECENT: Final = 10_000
"""Number of the latest predictions of a bundle whose times are kept, to compute the share labelled."""

_Call = tuple[str, list[str | int | bytes]]
"""A script's digest; its one key and its arguments."""


class RollingWindows:
    """The windows of one model; an `EventSink` and a `WindowReader`.

    Every method raises StoreUnavailable if the store does not answer.
    """

    def __init__(
        self,
        client: redis.Redis,
        model: str,
        *,
        prediction_ttl: float = 7 * 86_400,
        parked_ttl: float = 86_400,
        items: ItemTimes | None = None,
    ) -> None:
        """`prediction_ttl`: seconds for which a prediction waits for its label (and recognises a repeated
        or corrected one); `parked_ttl`: seconds for which an early label waits for its prediction; `items`:
        the times of the monitors' items."""
        self._client = client
        self._prefix = key_prefix(model)
        self._items = items or ItemTimes()
        self._prediction_ttl = _whole_seconds("prediction_ttl", prediction_ttl)
        self._parked_ttl = _whole_seconds("parked_ttl", parked_ttl)
        self._predict, self._label, self._snapshot = map(Script, ("predict", "label", "snapshot"))
        self._advance = Script("advance")

    @classmethod
    def at(
        cls,
        url: str,
        model: str,
        *,
        timeout: float = 1.0,
        prediction_ttl: float = 7 * 86_400,
        parked_ttl: float = 86_400,
        items: ItemTimes | None = None,
    ) -> Self:
        """The windows in the store at `url`, over a connection of their own; `close` at the end.

        `timeout`: seconds after which a call gives up. See `monitoring.store.connection.connect`.
        """
        client = connect(url, timeout=timeout)
        return cls(client, model, prediction_ttl=prediction_ttl, parked_ttl=parked_ttl, items=items)

    def close(self) -> None:
        """Close the connections to the store."""
        self._client.close()

    def apply(self, events: Sequence[Event]) -> list[EventOutcome | EventRefused]:
        """Enter events in their order, in one round trip; see `EventSink`."""
        with translated_errors():
            return [_outcome(reply) for reply in self._all([self._call(event) for event in events])]

    def apply_from_log(
        self, log: str, events: Sequence[Event], before: str | None, after: str
    ) -> list[EventOutcome | EventRefused]:
        """Enter events that lead from position `before` of a log (None: its start) to `after`.

        The call may be repeated if its answer did not arrive. Raises PositionLost if the store knows the
        log to be neither at `before` nor at `after`; the events have been entered all the same.
        """
        advance: _Call = (self._advance.digest, [self._logs, log, before or "", after])
        calls = [self._call(event) for event in events]
        with translated_errors():
            *replies, noted = self._all([*calls, advance])
            if isinstance(noted, Exception):
                raise noted
            if not noted:
                raise PositionLost(f"the store does not know that the log {log} was delivered up to {before}")
            return [_outcome(reply) for reply in replies]

    def position(self, log: str) -> str | None:
        """Position up to which a log has been delivered; None if the store does not know the log."""
        with translated_errors():
            held = cast("bytes | None", self._client.hget(self._logs, log))
        return None if held is None else held.decode()

    def snapshot(self, bundle: str) -> RollingSnapshot:
        """All windows of one bundle at one moment; empty ones for an unknown bundle."""
        args = [f"{self._prefix}predictions:{bundle}", self._prefix, _SIZES, bundle]
        with translated_errors():
            reply = run_script(self._client, self._snapshot, *args)
        predictions, labelled, recent, since, lags, *windows = reply
        read = {
            (series.decode(), int(size)): WindowSnapshot.of(int(size), _cells(flat))
            for series, size, flat in windows
        }
        return RollingSnapshot(
            bundle=bundle,
            all=SeriesSnapshot.of(read["all", ACC_SIZE], read["all", MCC_SIZE]),
            answered=SeriesSnapshot.of(read["answered", ACC_SIZE], read["answered", MCC_SIZE]),
            predictions=predictions,
            labelled=labelled,
            label_coverage=_coverage(read["all", MCC_SIZE].n, since, recent, labelled, predictions),
            lags=tuple(float(lag.split(b":", 1)[0]) for lag in lags),
        )

    def bundles(self) -> list[str]:
        """Bundles that have served, in the order in which they began; the latest at the end."""
        with translated_errors():
            names = cast("list[bytes]", self._client.zrange(f"{self._prefix}bundles", 0, -1))
        return [name.decode() for name in names]

    def ping(self) -> None:
        """Return if the store answers."""
        with translated_errors():
            self._client.ping()

    def _call(self, event: Event) -> _Call:
        key = f"{self._prefix}prediction:{event.request_id}"
        head: list[str | int | bytes] = [key, self._prefix, event.request_id, _SIZES, _LAGS_KEPT]
        at = f"{event.at:.6f}"
        if isinstance(event, PredictionEvent):
            answer = "" if event.answer is None else event.answer
            head += [event.bundle, event.predicted, answer, at, self._prediction_ttl, _RECENT]
            return self._predict.digest, [*head, *self._items.arguments(event)]
        return self._label.digest, [*head, event.label, at, self._parked_ttl]

    def _all(self, calls: Sequence[_Call]) -> list[Any]:
        """The replies, including errors, of one round trip, or of two if the scripts have to be loaded."""
        replies = self._pipelined(calls)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            # A store that was restarted or replaced has forgotten the scripts. Events that it has
            # already taken are recognised as repeated.
            self._load_scripts()
            replies = self._pipelined(calls)
        return replies

    @property
    def _logs(self) -> str:
        return f"{self._prefix}logs"

    def _pipelined(self, calls: Sequence[_Call]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipe:
            for digest, arguments in calls:
                pipe.evalsha(digest, 1, *arguments)
            return pipe.execute(raise_on_error=False)

    def _load_scripts(self) -> None:
        for script in (self._predict, self._label, self._snapshot, self._advance):
            self._client.script_load(script.text)


def _outcome(reply: object) -> EventOutcome | EventRefused:
    if isinstance(reply, list):
        return cast("EventOutcome", reply[0].decode())
    if isinstance(reply, Exception) and not _is_about_the_event(reply):
        raise reply
    return EventRefused(str(reply))


def _is_about_the_event(error: Exception) -> bool:
    """False if the store is in trouble (loading, out of memory, read only, a failed disk): those errors
    have a class of their own or begin with a code in capitals, and are temporary."""
    code = str(error).split(" ", 1)[0]
    return type(error) is ResponseError and (code == "WRONGTYPE" or not code.isupper())


def _coverage(n: int, since: int, recent: int, labelled: int, predictions: int) -> float | None:
    """Share labelled of the predictions since the oldest of the n in the window."""
    if not n:
        return None
    if since == recent >= _RECENT:
        # The oldest is further back than the times are kept: the share of all predictions stands in.
        return min(1.0, labelled / predictions)
    return n / since if since else None


def _cells(flat: Sequence[Any]) -> dict[tuple[int, int], int]:
    """`[b"1:0", b"3", ...]` -> `{(1, 0): 3, ...}`"""
    cells = {}
    for name, count in zip(flat[::2], flat[1::2], strict=True):
        predicted, label = name.split(b":")
        cells[int(predicted), int(label)] = int(count)
    return cells


def _whole_seconds(name: str, seconds: float) -> int:
    if not seconds >= 1:
        raise ValueError(f"{name} is {seconds!r}; it must be at least 1 second")
    return int(seconds)
