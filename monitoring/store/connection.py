"""Connections to the store of the rolling windows, and the translation of the client's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import hiredis
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
        command_packer=_CommandPacker(),
    )


class _CommandPacker:
    """Commands in the store's protocol, packed by hiredis alone.

    The client's own packer looks at the type of every argument first, which costs an event of two dozen
    arguments more than the packing does.
    """

    def pack(self, *command: str | bytes | int | float) -> list[bytes]:
        """One command, of which the first word may be several, such as `SCRIPT LOAD`. Raises DataError."""
        name, *arguments = command
        words = name.split() if isinstance(name, str | bytes) else [name]
        try:
            return [hiredis.pack_command((*words, *arguments))]
        except TypeError as error:
            raise DataError(str(error)) from error


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
