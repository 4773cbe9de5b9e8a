from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitoring.store.connection import connect
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.windows.rolling import RollingWindows


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A real server, shared by the tests; each test uses a model name of its own."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def model() -> str:
    return f"m-{uuid.uuid4().hex}"


@pytest.fixture
def windows(valkey: EmbeddedValkey, model: str) -> Iterator[RollingWindows]:
    client = connect(valkey.url)
    yield RollingWindows(client, model)
    client.close()


@pytest.fixture
def private_valkey(tmp_path: Path) -> Iterator[Callable[[], EmbeddedValkey]]:
    """Starts servers that a test may stop; they share a folder, so a later one has the earlier data."""
    started: list[EmbeddedValkey] = []

    def start() -> EmbeddedValkey:
        server = EmbeddedValkey(tmp_path / "valkey").__enter__()
        started.append(server)
        return server

    yield start
    for server in started:
        server.close()
