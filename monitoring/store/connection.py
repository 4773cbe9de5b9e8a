"""Connections to the store of the rolling windows, and the translation of the client's errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.exceptions import DataError, RedisError, ResponseError
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
        return [_packed((*words, *arguments))]


def replies_of(
    client: redis.Redis, commands: Sequence[tuple[str | bytes | int | float, ...]]
) -> list[object]:
    """The replies, including errors, of commands that are sent at once.

    A pipeline of the client does the same, but takes a dozen calls and several packets for it, which costs
    an event more than its packing does. Raises the client's errors of the connection, and DataError.
    """
    packed = b"".join(map(_packed, commands))
    pool = client.connection_pool
    connection: Any = pool.get_connection()
    try:
        connection.send_packed_command([packed])
        return [_reply(connection) for _ in commands]
    except BaseException:
        # Replies that were not read must not be taken for those of other commands.
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def _packed(command: tuple[str | bytes | int | float, ...]) -> bytes:
    try:
        return cast("bytes", hiredis.pack_command(cast("Any", command)))
    except TypeError as error:
        raise DataError(str(error)) from error


def _reply(connection: Any) -> object:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


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
