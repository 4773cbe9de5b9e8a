"""Rolling windows over delayed labels, kept in Redis or Valkey by Lua scripts.

Each script is atomic and idempotent, so any number of processes may write, an event may be sent twice,
and labels may come late, early, twice, corrected or in any order: the windows end up the same. They
hold the last N *labelled* predictions in the order in which they were *made*, one set of windows per
bundle version and one for all of them. All keys of a model share one {hash tag}, as Redis Cluster requires.

Events from a log carry the position that they lead to. The store keeps that position beside the
windows, so a store that has lost its memory is recognised by it and receives everything again. The sizes
of the windows are a part of every key: under other sizes the same happens, and the windows are rebuilt.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, Self, cast

import redis
from redis.exceptions import NoScriptError, ResponseError

from calibration.metrics.reward import MCC_WINDOW
from monitoring.events import Event, FailureEvent, FeedbackEvent, PredictionEvent
from monitoring.store.connection import connect, replies_of, translated_errors
from monitoring.store.contract import EventOutcome, EventRefused, PositionLost
from monitoring.windows.replies import Replies
from monitoring.windows.scripts import Script, held_sizes, key_prefix, model_prefix, run_script
from monitoring.windows.snapshot import REWARD_SIZES, RollingSnapshot
from monitoring.windows.unit_windows import ItemTimes

DEFAULT_SIZES: Final = REWARD_SIZES
_LAGS_KEPT: Final = 100
_RECENT: Final = 10_000
"""Number of the latest predictions of a bundle that are kept at least, to compute the share labelled."""
_SCANNED: Final = 1000
"""Keys per round trip in which those of unused sizes are looked for."""

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
        sizes: Sequence[int] = DEFAULT_SIZES,
        prediction_ttl: float = 7 * 86_400,
        parked_ttl: float = 86_400,
        items: ItemTimes | None = None,
    ) -> None:
        """`sizes`: of the windows, each at least 1. `prediction_ttl`: seconds for which a prediction waits
        for its label (and knows a repeated or corrected one); a later label does not count. `parked_ttl`:
        seconds for which an early label waits for its prediction. `items`: the times of the monitors' items.
        Raises ValueError."""
        self._client = client
        self._sizes = tuple(sorted(set(sizes)))
        self._held = held_sizes(sizes)
        self._prefix = key_prefix(model, sizes)
        self._model_prefix = model_prefix(model)
        self._layout = ",".join(map(str, self._held))
        self._kept = max(self._held[-1], _RECENT)
        self._items = items or ItemTimes()
        self._prediction_ttl = _whole_seconds("prediction_ttl", prediction_ttl)
        self._parked_ttl = _whole_seconds("parked_ttl", parked_ttl)
        self._predict, self._label, self._snapshot = map(Script, ("predict", "label", "snapshot"))
        self._advance = Script("advance")
        self._replies = Replies(self._sizes, self._held, self._kept)

    @classmethod
    def at(
        cls,
        url: str,
        model: str,
        *,
        sizes: Sequence[int] = DEFAULT_SIZES,
        timeout: float = 1.0,
        prediction_ttl: float = 7 * 86_400,
        parked_ttl: float = 86_400,
        items: ItemTimes | None = None,
    ) -> Self:
        """The windows in the store at `url`, over a connection of their own; `close` at the end.

        `timeout`: seconds after which a call gives up. See `monitoring.store.connection.connect`.
        """
        client = connect(url, timeout=timeout)
        return cls(
            client, model, sizes=sizes, prediction_ttl=prediction_ttl, parked_ttl=parked_ttl, items=items
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the windows, ascending."""
        return self._sizes

    @property
    def prefix(self) -> str:
        """What every key of these windows begins with."""
        return self._prefix

    def close(self) -> None:
        """Close the connections to the store."""
        self._client.close()

    def apply(self, events: Sequence[Event]) -> list[EventOutcome | EventRefused]:
        """Enter events in their order, in one round trip; see `EventSink`."""
        with translated_errors():
            return _outcomes(events, self._all(self._calls(events)))

    def apply_from_log(
        self, log: str, events: Sequence[Event], before: str | None, after: str
    ) -> list[EventOutcome | EventRefused]:
        """Enter events that lead from position `before` of a log (None: its start) to `after`.

        The call may be repeated if its answer did not arrive. Raises PositionLost if the store knows the
        log to be neither at `before` nor at `after`; the events have been entered all the same.
        """
        place: list[str | int | bytes] = [self._logs, log, before or "", after, self._in_use, self._layout]
        advance: _Call = (self._advance.digest, place)
        with translated_errors():
            *replies, noted = self._all([*self._calls(events), advance])
            if isinstance(noted, Exception):
                raise noted
            if not noted:
                raise PositionLost(f"the store does not know that the log {log} was delivered up to {before}")
            return _outcomes(events, replies)

    def position(self, log: str) -> str | None:
        """Position up to which a log has been delivered; None if the store does not know the log."""
        with translated_errors():
            held = cast("bytes | None", self._client.hget(self._logs, log))
        return None if held is None else held.decode()

    def snapshot(self, bundle: str, classes: int = 2) -> RollingSnapshot:
        """All windows of one bundle at one moment; empty ones for an unknown bundle."""
        (snapshot,) = self.snapshots([bundle], classes)
        return snapshot

    def snapshots(self, scopes: Sequence[str], classes: int = 2) -> list[RollingSnapshot]:
        """All windows of some bundles, or of `TOTAL`, at one moment. `classes`: number of classes."""
        with translated_errors():
            replies = run_script(self._client, self._snapshot, self._logs, self._prefix, MCC_WINDOW, *scopes)
        return [
            self._replies.snapshot(scope, values, classes)
            for scope, values in zip(scopes, replies, strict=True)
        ]

    def bundles(self) -> list[str]:
        """Bundles that have served, in the order of their latest predictions; the latest at the end."""
        with translated_errors():
            names = cast("list[bytes]", self._client.zrange(f"{self._prefix}bundles", 0, -1))
        return [name.decode() for name in names]

    def discard_unused(self) -> list[str]:
        """Delete windows of other sizes that no service has used for as long as a prediction waits for its
        label; the sizes of each."""
        with translated_errors():
            used = cast("dict[bytes, bytes]", self._client.hgetall(self._in_use))
            oldest = time.time() - self._prediction_ttl
            unused = [layout.decode() for layout, at in used.items() if int(at) < oldest]
            unused = [layout for layout in unused if layout != self._layout]
            for layout in unused:
                for keys in self._keys_of(layout):
                    self._client.unlink(*keys)
                self._client.hdel(self._in_use, layout)
        return unused

    def ping(self) -> None:
        """Return if the store answers."""
        with translated_errors():
            self._client.ping()

    def _calls(self, events: Sequence[Event]) -> list[_Call]:
        return [self._call(event) for event in events if not isinstance(event, FailureEvent)]

    def _call(self, event: PredictionEvent | FeedbackEvent) -> _Call:
        key = f"{self._prefix}prediction:{event.request_id}"
        head: list[str | int | bytes] = [
            *(key, self._prefix, event.request_id, self._layout, _LAGS_KEPT),
            *(self._prediction_ttl, self._parked_ttl),
        ]
        at = f"{event.at:.6f}"
        if isinstance(event, PredictionEvent):
            answer = "" if event.answer is None else event.answer
            head += [event.bundle, event.predicted, answer, at, event.stage, self._kept]
            return self._predict.digest, [*head, *self._items.arguments(event)]
        return self._label.digest, [*head, event.label, at]

    def _keys_of(self, layout: str) -> Iterator[list[bytes]]:
        """The keys of windows of other sizes, some at a time."""
        cursor = 0
        while True:
            cursor, keys = cast(
                "tuple[int, list[bytes]]",
                self._client.scan(cursor, match=f"{self._model_prefix}{layout}:*", count=_SCANNED),
            )
            if keys:
                yield keys
            if cursor == 0:
                return

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

    @property
    def _in_use(self) -> str:
        """The hash of the sizes of all windows, each with the time of their last delivery."""
        return f"{self._model_prefix}sizes"

    def _pipelined(self, calls: Sequence[_Call]) -> list[Any]:
        commands = [("EVALSHA", digest, 1, *arguments) for digest, arguments in calls]
        return cast("list[Any]", replies_of(self._client, commands))

    def _load_scripts(self) -> None:
        for script in (self._predict, self._label, self._snapshot, self._advance):
            self._client.script_load(script.text)


def _outcomes(events: Sequence[Event], replies: Sequence[object]) -> list[EventOutcome | EventRefused]:
    """The outcome of each event; the windows have no place for a failure."""
    of_calls = iter(replies)
    return ["noted" if isinstance(event, FailureEvent) else _outcome(next(of_calls)) for event in events]


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


def _whole_seconds(name: str, seconds: float) -> int:
    if not seconds >= 1:
        raise ValueError(f"{name} is {seconds!r}; it must be at least 1 second")
    return int(seconds)
