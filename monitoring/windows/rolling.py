"""Rolling windows over delayed labels, kept in Redis or Valkey by Lua scripts.

Each script is atomic and idempotent, so any number of processes may write, an event may be sent twice,
and labels may come late, early, twice, corrected or in any order: the windows end up the same. They
hold the last N *labelled* predictions in the order in which they were *made*, one set of windows a
bundle version. All keys of a model share one {hash tag}, as Redis Cluster needs.

Events that come from a log bring along how far they take it. The store keeps that position with the
windows, so a store that has lost its memory is known by it, and is told everything again.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, cast

import redis
from redis.exceptions import NoScriptError, ResponseError

from calibration.metrics.reward import ACCURACY_WINDOW, MCC_WINDOW
from monitoring.events import Event, FeedbackOutcome, PredictionEvent, PredictionOutcome
from monitoring.windows.snapshot import RollingSnapshot, SeriesSnapshot, WindowSnapshot

ACC_SIZE: Final = ACCURACY_WINDOW
MCC_SIZE: Final = MCC_WINDOW
_SIZES: Final = f"{ACC_SIZE},{MCC_SIZE}"
_LAGS_KEPT: Final = 100
_RECENT: Final = 10_000
"""Latest predictions of a bundle whose times are kept, to know which share of them is labelled."""

Outcome = PredictionOutcome | FeedbackOutcome

_Call = tuple[str, list[str | int]]
"""A script's digest; its one key and its arguments."""


class EventRefused(Exception):
    """The store refused one event for what it is; sending it again would not help."""


class PositionLost(Exception):
    """The store does not stand where the log's reader thought: it has lost its memory, or part of it."""


class _Script:
    """A Lua script: its text, and the digest by which the store knows it."""

    def __init__(self, name: str) -> None:
        folder = files("monitoring.windows") / "lua"
        self.text = "\n".join((folder / part).read_text("utf-8") for part in ("window.lua", f"{name}.lua"))
        self.digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class RollingWindows:
    """The windows of one model.

    Every method may raise redis.exceptions.RedisError when the store does not answer.
    """

    def __init__(
        self,
        client: redis.Redis,
        model: str,
        *,
        prediction_ttl: float = 7 * 86_400,
        parked_ttl: float = 86_400,
    ) -> None:
        """`prediction_ttl`: seconds that a prediction waits for its label (and recognises a repeated or
        corrected one); `parked_ttl`: seconds that an early label waits for its prediction."""
        if not model or any(c in "{}" for c in model):
            raise ValueError(f"model is {model!r}; it must be a name without braces")
        self._client = client
        self._prefix = f"demur:{{{model}}}:"
        self._prediction_ttl = _whole_seconds("prediction_ttl", prediction_ttl)
        self._parked_ttl = _whole_seconds("parked_ttl", parked_ttl)
        self._predict, self._label, self._snapshot = map(_Script, ("predict", "label", "snapshot"))
        self._advance = _Script("advance")

    def apply(self, events: Sequence[Event]) -> list[Outcome | EventRefused]:
        """Enter events in their order, in one round trip; what each turned out to be.

        An event that the store refuses yields its error in place and does not hold up the others.
        """
        return [_outcome(reply) for reply in self._all([self._call(event) for event in events])]

    def apply_from_log(
        self, log: str, events: Sequence[Event], before: str | None, after: str
    ) -> list[Outcome | EventRefused]:
        """The same for events that take the reader of a log from `before` (None: its start) to `after`.

        It may be said again where the answer did not arrive. Raises PositionLost where the store knows the
        log to be neither at `before` nor at `after`; the events have been entered all the same.
        """
        advance: _Call = (self._advance.digest, [self._logs, log, before or "", after])
        calls = [self._call(event) for event in events]
        *replies, noted = self._all([*calls, advance])
        if isinstance(noted, Exception):
            raise noted
        if not noted:
            raise PositionLost(f"the store does not know that the log {log} was delivered up to {before}")
        return [_outcome(reply) for reply in replies]

    def position(self, log: str) -> str | None:
        """How far a log has been delivered; None where the store does not know it."""
        held = cast("bytes | None", self._client.hget(self._logs, log))
        return None if held is None else held.decode()

    def snapshot(self, bundle: str) -> RollingSnapshot:
        """All windows of one bundle at one moment; empty ones for a bundle never seen."""
        args = [f"{self._prefix}predictions:{bundle}", self._prefix, _SIZES, bundle]
        try:
            reply = self._client.evalsha(self._snapshot.digest, 1, *args)
        except NoScriptError:
            self._load_scripts()
            reply = self._client.evalsha(self._snapshot.digest, 1, *args)
        predictions, labelled, recent, since, lags, *windows = cast("list[Any]", reply)
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
        """Bundles that have served, the one that began last at the end."""
        return [
            name.decode()
            for name in cast("list[bytes]", self._client.zrange(f"{self._prefix}bundles", 0, -1))
        ]

    def ping(self) -> None:
        """Returns where the store answers."""
        self._client.ping()

    def _call(self, event: Event) -> _Call:
        key = f"{self._prefix}prediction:{event.request_id}"
        head: list[str | int] = [key, self._prefix, event.request_id, _SIZES, _LAGS_KEPT]
        at = f"{event.at:.6f}"
        if isinstance(event, PredictionEvent):
            answer = "" if event.answer is None else event.answer
            tail: list[str | int] = [event.bundle, event.predicted, answer, at, self._prediction_ttl, _RECENT]
            return self._predict.digest, [*head, *tail]
        return self._label.digest, [*head, event.label, at, self._parked_ttl]

    def _all(self, calls: Sequence[_Call]) -> list[Any]:
        """The replies, errors among them, of one round trip, or of two."""
        replies = self._pipelined(calls)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            # A store that was restarted or replaced has forgotten the scripts. Those of the events
            # that it did take are recognised as repeated.
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


def _outcome(reply: object) -> Outcome | EventRefused:
    if isinstance(reply, list):
        return cast("Outcome", reply[0].decode())
    if isinstance(reply, Exception) and not _is_about_the_event(reply):
        raise reply
    return EventRefused(str(reply))


def _is_about_the_event(error: Exception) -> bool:
    """False where the store is in trouble (loading, out of memory, read only, a failed disk): those
    errors have a class of their own or begin with a code in capitals, and pass."""
    code = str(error).split(" ", 1)[0]
    return type(error) is ResponseError and (code == "WRONGTYPE" or not code.isupper())


def _coverage(n: int, since: int, recent: int, labelled: int, predictions: int) -> float | None:
    """Share labelled of the predictions since the oldest of the n in the window."""
    if not n:
        return None
    if since == recent >= _RECENT:
        # Further back than the times are kept: the share of all predictions stands in.
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
