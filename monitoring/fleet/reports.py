"""Reports of the services of a fleet, in the store: each service writes its own, and everybody reads all.

A report counts for some seconds by the store's clock, so that the clocks of the machines do not matter. What
is there is an observation: the registry alone says what the fleet is to serve.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Self, cast

import redis
import structlog

from monitoring.fleet.names import fleet_prefix
from monitoring.fleet.report import ReportUnreadable, ServiceReport
from monitoring.formats import FormatTooNew
from monitoring.store.connection import connect, translated_errors
from monitoring.store.shared_document import require_url

FRESH: Final = 10.0
"""Seconds for which a report counts"""
_KEPT: Final = 3600
"""Seconds after which a service that is gone is forgotten"""
_REPORT: Final = """
local at = redis.call('TIME')
local now = at[1] + at[2] / 1000000
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('HDEL', KEYS[2], gone)
end
"""
_ALL: Final = """
local at = redis.call('TIME')
local names = redis.call('ZRANGEBYSCORE', KEYS[1], at[1] + at[2] / 1000000 - ARGV[1], '+inf')
local found = {}
for _, name in ipairs(names) do
  local report = redis.call('HGET', KEYS[2], name)
  if report then table.insert(found, report) end
end
return found
"""

logger = structlog.get_logger("demur.fleet")


class FleetReports:
    """The reports of one fleet. Every call raises StoreUnavailable; the message holds no password."""

    def __init__(self, url: str, fleet: str, timeout: float = 1.0) -> None:
        """`url`: redis://, rediss:// or unix://; `timeout`: seconds per command. Raises StoreUnavailable for
        an address that cannot be used, and ValueError for a name with braces."""
        require_url(url)
        prefix = fleet_prefix(fleet)
        self._keys = (f"{prefix}seen", f"{prefix}reports")
        self._client: redis.Redis = connect(url, timeout=timeout)
        self._report = self._client.register_script(_REPORT)
        self._all = self._client.register_script(_ALL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the store."""
        self._client.close()

    def report(self, one: ServiceReport) -> None:
        """Put the report of a service in the place of its earlier one."""
        with translated_errors():
            self._report(keys=self._keys, args=[one.service, one.to_json(), _KEPT])

    def all(self) -> list[ServiceReport]:
        """The reports of the last `FRESH` seconds by the store's clock, by the names of the services.

        A report that cannot be read, one of a later version for instance, is left out and said.
        """
        with translated_errors():
            found = cast("list[bytes]", self._all(keys=self._keys, args=[FRESH]))
        return sorted(_readable(found), key=lambda one: one.service)

    def forget(self, service: str) -> None:
        """Remove the report of a service that ends."""
        with translated_errors():
            pipeline = self._client.pipeline()
            pipeline.zrem(self._keys[0], service)
            pipeline.hdel(self._keys[1], service)
            pipeline.execute()


def _readable(documents: list[Any]) -> Iterator[ServiceReport]:
    for document in documents:
        try:
            yield ServiceReport.from_json(document)
        except (ReportUnreadable, FormatTooNew) as error:
            logger.warning("report_unreadable", why=str(error))
