"""One document in Redis that several processes change, each change as a whole or not at all.

For data that must not be lost, unlike the rolling windows: a server that may evict the document is refused.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import redis
from redis.exceptions import RedisError, ResponseError, WatchError

from monitoring.store.connection import connect, translated_errors
from monitoring.store.contract import StoreUnavailable

_LONGEST_PAUSE = 0.05
"""Seconds before a change that another process has overtaken is tried again"""


class SharedDocument:
    """The bytes under one key of a Redis or Valkey server.

    `url`: redis://, rediss:// or unix://. `timeout`: seconds per command. `patience`: seconds for which a
    change may be overtaken by others. Every method raises StoreUnavailable, also for a URL or a value that
    cannot be used; the message holds no password.
    """

    def __init__(self, url: str, key: str, *, timeout: float = 5.0, patience: float = 60.0) -> None:
        self._url, self._key = url, key
        self._timeout, self._patience = timeout, patience

    def read(self) -> bytes | None:
        """The document; None if there is none."""
        with self._client() as client:
            return self._value(client)

    def change(self, change: Callable[[bytes | None], bytes | None]) -> None:
        """Replace the document by `change` of it; None changes nothing.

        `change` is called again if another process was quicker, so it must depend on its argument alone. An
        error that it raises leaves the document as it is.
        """
        end = time.monotonic() + self._patience
        with self._client() as client:
            _require_no_eviction(client)
            while not self._changed(client, change):
                if time.monotonic() > end:
                    raise StoreUnavailable(f"other processes changed it for more than {self._patience:g} s")
                time.sleep(random.uniform(0.0, _LONGEST_PAUSE))

    def _changed(self, client: redis.Redis, change: Callable[[bytes | None], bytes | None]) -> bool:
        """Whether the change was made; False if another process was quicker, or the connection broke."""
        with client.pipeline() as transaction:
            try:
                transaction.watch(self._key)  # type: ignore[no-untyped-call]  # as redis-py declares it
                new = change(self._value(transaction))
                if new is None:
                    return True
                transaction.multi()
                transaction.set(self._key, new)
                transaction.execute()
            except WatchError:
                return False
        return True

    def _value(self, client: redis.Redis) -> bytes | None:
        try:
            value = client.get(self._key)
        except ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                raise StoreUnavailable(f"its key {self._key} holds something else") from error
            raise
        return value if isinstance(value, bytes) else None

    @contextmanager
    def _client(self) -> Iterator[redis.Redis]:
        require_url(self._url)
        client = connect(self._url, timeout=self._timeout)
        try:
            with translated_errors(), _password_in_words():
                yield client
        finally:
            client.close()


@contextmanager
def _password_in_words() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        # What a server without a user says depends on the command: NOAUTH, or its word on HELLO.
        if "authenticat" in str(error).lower():
            raise StoreUnavailable(
                "it wants another password, or one at all: redis://:PASSWORD@HOST:PORT/DB"
            ) from None
        raise


def require_url(url: str) -> None:
    """Raise StoreUnavailable for a URL that names no server, or of which a part would be ignored."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise StoreUnavailable(f"it is no URL: {error}") from None
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise StoreUnavailable(f"its scheme is {parts.scheme!r}; it must be redis, rediss or unix")
    database = parse_qs(parts.query).get("db", [parts.path.strip("/") if parts.scheme != "unix" else ""])[0]
    if database and not database.isdecimal():
        raise StoreUnavailable(f"its database is {database!r}; it must be a whole number, 0 or more")
    if parts.scheme == "unix" and not parts.path:
        raise StoreUnavailable("it names no socket; write unix:///PATH/OF/SOCKET")
    try:
        client = connect(url)
        # Unknown options in the URL are noticed by the connection, which nothing opens here.
        client.connection_pool.make_connection()
    except (TypeError, ValueError) as error:
        raise StoreUnavailable(f"it cannot be read as the address of a server: {error}") from None


def shown(url: str) -> str:
    """The URL for messages: scheme, host and database, without user, password and options."""
    hidden = f"{url.partition('://')[0]}://..."
    try:
        parts = urlsplit(url)
    except ValueError:
        return hidden
    if "@" in parts.path + parts.query + parts.fragment:
        return hidden  # an unquoted character of a password has moved it there
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _require_no_eviction(client: redis.Redis) -> None:
    """Raise StoreUnavailable if the server may drop the document to make room for others."""
    try:
        memory = client.info("memory")
    except ResponseError:
        return  # not every account may ask
    policy = str(memory.get("maxmemory_policy", ""))
    if int(memory.get("maxmemory", 0)) > 0 and policy.startswith("allkeys"):
        raise StoreUnavailable(
            f"its maxmemory-policy is {policy}, by which it may drop the document; noeviction keeps it"
        )
