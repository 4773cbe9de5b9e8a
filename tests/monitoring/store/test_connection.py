"""The client of the store: what it can send, and what it says of what it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from monitoring.store.connection import connect, translated_errors
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


def test_a_store_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable), translated_errors():
        connect(f"unix://{tmp_path}/none.sock").ping()
