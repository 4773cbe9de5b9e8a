"""Rows of an experiment in the store of a fleet: each service writes those of its event log, and reads all.

The rows of a log bear its name, so that a service which is started again on its data goes on with them, and
those of a service that has ended count as long as the experiment runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from zlib import crc32

import numpy as np
import redis
import structlog

from monitoring.experiments.counted import Counted
from monitoring.experiments.definition import Definition
from monitoring.experiments.row_blocks import (
    ROWS,
    BlockUnreadable,
    packed,
    shadow_blocks,
    shadows_of,
    unit_blocks,
    units_of,
    unpacked,
)
from monitoring.experiments.shadow_rows import ShadowColumns
from monitoring.experiments.shared_head import Head, dealings
from monitoring.experiments.shared_keys import KEEP, logs_key, rows_key
from monitoring.experiments.unit_columns import UnitColumns
from monitoring.store.connection import connect, translated_errors

MOST_SHARED: Final = 400_000
"""Rows that a service shares; those beyond them count in itself alone"""
MOST_READ: Final = 2_000_000
"""Rows of other services that one reads"""
logger = structlog.get_logger("demur.experiments")

_HEAD: Final = b"head"
_TOO_MANY: Final = "unit not shared: too many"


@dataclass(slots=True)
class _Log:
    """What was read of the rows of one log."""

    blocks: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    """By field: checksum in the head, and content"""
    counted: tuple[bytes, Counted] | None = None
    """With the head that it belongs to"""


class SharedRows:
    """The rows of one experiment, from the start of its watch on; for one thread.

    Every method raises StoreUnavailable.
    """

    def __init__(self, url: str, fleet: str, log: str, *, timeout: float = 1.0) -> None:
        """`log`: name of the own event log; `timeout`: seconds per command."""
        self._client: redis.Redis = connect(url, timeout=timeout)
        self._fleet, self._log = fleet, log
        self._experiment: tuple[str, float] | None = None
        self._sent: dict[bytes, int] = {}
        self._read: dict[str, _Log] = {}
        self._refused: dict[str, str] = {}

    def close(self) -> None:
        """Close the connections to the store."""
        self._client.close()

    def publish(self, definition: Definition, own: Counted) -> None:
        """Put the own rows into the store, as far as they have changed."""
        self._begin(definition)
        units = unit_blocks(own.rows, MOST_SHARED)
        shadows = shadow_blocks(own.beside, MOST_SHARED)
        blocks = dict((*_named(b"u", units), *_named(b"s", shadows)))
        sums = {name: crc32(block) for name, block in blocks.items()}
        fresh = {name: packed(blocks[name]) for name, found in sums.items() if self._sent.get(name) != found}
        head = Head(
            *(definition.started.at, definition.names, dealings(definition)),
            tuple(sums[name] for name, _ in _named(b"u", units)),
            tuple(sums[name] for name, _ in _named(b"s", shadows)),
            {**own.faults, _TOO_MANY: max(0, len(own.rows) - MOST_SHARED)},
        )
        kept = self._put(definition.name, {**fresh, _HEAD: head.to_json()})
        # A store that has lost its memory, or a part of it, gets everything again.
        self._sent = sums if kept == len(sums) + 1 else {}

    def others(self, definition: Definition) -> list[Counted]:
        """What the other services have counted."""
        self._begin(definition)
        with translated_errors():
            members: Any = self._client.smembers(logs_key(self._fleet, definition.name))
            names = sorted(one.decode() for one in members)
        found = []
        left = MOST_READ
        for name in names:
            if name == self._log:
                continue
            try:
                one = self._other(definition, name, left)
            except BlockUnreadable as error:
                self._refuse(name, str(error))
                continue
            if one is not None:
                found.append(one)
                left -= len(one.rows)
        return found

    def _begin(self, definition: Definition) -> None:
        experiment = (definition.name, definition.started.at)
        if self._experiment != experiment:
            self._experiment, self._sent, self._read = experiment, {}, {}

    def _put(self, experiment: str, fields: dict[Any, Any]) -> int:
        """Write fields of the own rows; the number of fields that there are afterwards."""
        key, logs = rows_key(self._fleet, experiment, self._log), logs_key(self._fleet, experiment)
        with translated_errors():
            pipeline = self._client.pipeline()
            if not self._sent:
                pipeline.delete(key)
            pipeline.hset(key, mapping=fields)
            pipeline.expire(key, KEEP)
            pipeline.sadd(logs, self._log)
            pipeline.expire(logs, KEEP)
            pipeline.hlen(key)
            return int(pipeline.execute()[-1])

    def _other(self, definition: Definition, name: str, most: int) -> Counted | None:
        key, log = rows_key(self._fleet, definition.name, name), self._read.setdefault(name, _Log())
        with translated_errors():
            pipeline = self._client.pipeline()
            pipeline.hget(key, "head")
            # A service that has ended does not do so any more.
            pipeline.expire(key, KEEP)
            document = pipeline.execute()[0]
        if document is None:
            return None
        head = Head.from_json(document)
        if head.began != definition.started.at:
            return None
        place = document + repr((definition.names, dealings(definition), most)).encode()
        if log.counted is None or log.counted[0] != place:
            whole = self._fetch(key, head, log, most)
            counted = _counted(definition, head, log)
            if not whole:
                return counted
            log.counted = (place, counted)
        return log.counted[1]

    def _fetch(self, key: str, head: Head, log: _Log, most: int) -> bool:
        """Read the blocks that have changed; whether all were there."""
        wanted = dict(_sums(head, most))
        missing = [one for one, checksum in wanted.items() if log.blocks.get(one, (None,))[0] != checksum]
        log.blocks = {one: held for one, held in log.blocks.items() if one in wanted}
        if missing:
            with translated_errors():
                found: Any = self._client.hmget(key, missing)
            for one, content in zip(missing, found, strict=True):
                if content is not None:
                    log.blocks[one] = (wanted[one], unpacked(content))
        return len(log.blocks) == len(wanted)

    def _refuse(self, log: str, why: str) -> None:
        """Leave the rows of a log out, and say so once."""
        self._read.pop(log, None)
        if self._refused.get(log) != why:
            self._refused[log] = why
            logger.error("experiment_rows_unreadable", log=log, why=why)


def _named(kind: bytes, blocks: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return ((kind + str(number).encode(), block) for number, block in enumerate(blocks))


def _sums(head: Head, most: int) -> Iterator[tuple[bytes, int]]:
    for kind, checksums in ((b"u", head.units), (b"s", head.shadows)):
        for number, checksum in enumerate(checksums[: max(0, most // ROWS)]):
            yield kind + str(number).encode(), checksum


def _counted(definition: Definition, head: Head, log: _Log) -> Counted:
    """The rows of a log, with the arms and strata of the definition."""
    arms, strata = head.arm_places(definition), head.stratum_places(definition)
    units = units_of(_blocks(log, b"u"))
    shadows = shadows_of(_blocks(log, b"s"))
    if not (_within(units.counts["arm"], arms) and _within(units.counts["stratum"], strata)):
        raise BlockUnreadable("it holds rows of arms or strata that its head does not name")
    if not _within(shadows.counts["arm"], arms):
        raise BlockUnreadable("it holds shadows that its head does not name")
    counts = {**units.counts, "arm": arms[units.counts["arm"]], "stratum": strata[units.counts["stratum"]]}
    rows = UnitColumns(units.key, counts, units.sums)
    beside = ShadowColumns(shadows.key, {**shadows.counts, "arm": arms[shadows.counts["arm"]]})
    return Counted(
        # What a service counts of a dealing that this one does not have yet, or never had, is left out.
        rows.take((counts["arm"] >= 0) & (counts["stratum"] >= 0)),
        beside.take(beside.counts["arm"] >= 0),
        head.faults,
    )


def _blocks(log: _Log, kind: bytes) -> list[bytes]:
    return [content for name, (_, content) in sorted(log.blocks.items()) if name.startswith(kind)]


def _within(indices: Any, places: Any) -> bool:
    return not len(indices) or int(np.max(indices)) < len(places)
