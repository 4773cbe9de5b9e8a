"""Connections to the store of the rolling windows, and the translation of the client's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.exceptions import DataError, RedisError
from redis.retry import Retry

from monitoring.store.contract import EventRefused, StoreUnavailable


def connect(url: str, *, timeout: float = 1.0) -> redis.Redis:
    """A client that gives up after `timeout` seconds and does not retry by itself.

    `url`: redis://, rediss:// or unix:// as redis-py reads them. Nothing is sent yet.
    """
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
    )


@contextmanager
def translated_errors() -> Iterator[None]:
    """Errors of the client as errors of the contract, with their message kept.

    Inside, a DataError (a value that the client cannot send) becomes EventRefused; any other RedisError
    or OSError becomes StoreUnavailable.
    """
    try:
        yield
    except DataError as error:
        raise EventRefused(str(error)) from error
    except (RedisError, OSError) as error:
        raise StoreUnavailable(str(error)) from error
