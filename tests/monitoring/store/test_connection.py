"""The client of the store: what it can send, and what it says of what it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from monitoring.store.connection import connect, replies_of, translated_errors
from monitoring.store.contract import EventRefused, StoreUnavailable
from monitoring.store.embedded_valkey import EmbeddedValkey


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        client = connect(server.url)
        yield client
        client.close()


@pytest.mark.parametrize(
    ("value", "held"),
    [("café \r\n*1", "café \r\n*1".encode()), (b"\x00\xff", b"\x00\xff"), (-3, b"-3"), (0.25, b"0.25")],
)
def test_every_kind_of_value_arrives(store: redis.Redis, value: Any, held: bytes) -> None:
    with store.pipeline(transaction=False) as pipe:
        pipe.set("key", value)
        pipe.get("key")
        assert pipe.execute() == [True, held]


def test_a_command_of_several_words(store: redis.Redis) -> None:
    assert store.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-ttl"}
    assert store.script_exists("0" * 40) == [False]


@pytest.mark.parametrize("value", [None, ["a"], {"a": 1}, object()])
def test_a_value_that_cannot_be_sent_is_refused_and_the_connection_goes_on(
    store: redis.Redis, value: Any
) -> None:
    with pytest.raises(EventRefused), translated_errors():
        store.execute_command("SET", "key", value)
    assert store.ping()


def test_an_error_among_the_replies_stands_in_its_place(store: redis.Redis) -> None:
    store.set("text", "a")
    replies = replies_of(store, [("SET", "n", 1), ("INCR", "text"), ("INCR", "n"), ("EVALSHA", "0" * 40, 0)])
    assert (replies[0], replies[2]) == (b"OK", 2)
    assert isinstance(replies[1], redis.ResponseError)
    assert isinstance(replies[3], redis.exceptions.NoScriptError)
    assert store.get("n") == b"2"


def test_commands_beyond_any_buffer_arrive(store: redis.Redis) -> None:
    commands = [("SET", f"large {number}", "x" * 100_000) for number in range(100)]
    assert replies_of(store, commands) == [b"OK"] * 100


def test_commands_of_which_one_cannot_be_sent_leave_nothing_behind(store: redis.Redis) -> None:
    store.set("n", 1)
    commands: list[Any] = [("INCR", "n"), ("SET", "key", None)]
    with pytest.raises(EventRefused), translated_errors():
        replies_of(store, commands)
    assert store.get("n") == b"1"


def test_a_store_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable), translated_errors():
        connect(f"unix://{tmp_path}/none.sock").ping()
