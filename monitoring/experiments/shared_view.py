"""View of an experiment in the store of a fleet: what its services conclude from the rows of all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import redis
import structlog

from monitoring.experiments.shared_keys import KEEP, logs_key, view_key
from monitoring.store.connection import connect, translated_errors
from monitoring.store.shared_document import require_url

logger = structlog.get_logger("demur.experiments")


class SharedViews:
    """The views of a fleet. Every call raises StoreUnavailable."""

    def __init__(self, url: str, fleet: str, timeout: float = 1.0) -> None:
        """`url`: redis://, rediss:// or unix://; `timeout`: seconds per command. Raises StoreUnavailable for
        an address that cannot be used."""
        require_url(url)
        self._client: redis.Redis = connect(url, timeout=timeout)
        self._fleet = fleet

    def close(self) -> None:
        """Close the connections to the store."""
        self._client.close()

    def keep(self, experiment: str, log: str, values: dict[str, Any]) -> None:
        """Let everybody see what the service with this log sees."""
        with translated_errors():
            pipeline = self._client.pipeline()
            pipeline.set(view_key(self._fleet, experiment, log), json.dumps(values), ex=KEEP)
            pipeline.sadd(logs_key(self._fleet, experiment), log)
            pipeline.expire(logs_key(self._fleet, experiment), KEEP)
            pipeline.execute()

    def newest(self, experiment: str) -> dict[str, Any] | None:
        """`ExperimentView.to_values` of the service that knows most strata and has looked last, with `age`,
        the seconds since then by the store's clock; None before any service has looked."""
        found = list(self._all(experiment))
        return max(found, key=lambda one: (one["stratum"], -one["age"]), default=None)

    def _all(self, experiment: str) -> Iterator[dict[str, Any]]:
        with translated_errors():
            logs = cast("set[bytes]", self._client.smembers(logs_key(self._fleet, experiment)))
            keys = [view_key(self._fleet, experiment, one.decode()) for one in sorted(logs)]
            pipeline = self._client.pipeline()
            for key in keys:
                pipeline.get(key)
                pipeline.pttl(key)
            replies = pipeline.execute() if keys else []
        for document, left in zip(replies[::2], replies[1::2], strict=True):
            values = _values(document)
            if values is not None:
                yield {**values, "age": KEEP - left / 1000.0}


def _values(document: bytes | None) -> dict[str, Any] | None:
    if document is None:
        return None
    try:
        values = json.loads(document)
        if not isinstance(values, dict) or not isinstance(values["stratum"], int):
            raise ValueError("it has no stratum")
    except (ValueError, KeyError) as error:
        logger.warning("experiment_view_unreadable", why=f"{type(error).__name__}: {error}")
        return None
    return values
