from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fakes.engine_timings import keep, lend
from starlette.testclient import TestClient

from monitoring.store.embedded_valkey import EmbeddedValkey
from service.app import create_app
from service.settings import Settings


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture
def make_client(tiny_bundle: Path, tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """`make_client(**settings)`: the application in this process; without a store unless a URL is given."""
    with ExitStack() as stack:

        def make(**settings: Any) -> TestClient:
            given = {"bundle": tiny_bundle, "redis_url": "off", "data_dir": tmp_path / "data", **settings}
            lend(given["data_dir"])
            client = stack.enter_context(TestClient(create_app(Settings.read({}, **given))))
            keep(given["data_dir"])
            return client

        yield make


@pytest.fixture
def client(make_client: Callable[..., TestClient]) -> TestClient:
    return make_client()


@pytest.fixture
def monitored(make_client: Callable[..., TestClient], valkey_url: str) -> TestClient:
    """A client with a store and its own model name."""
    return make_client(redis_url=valkey_url, model=f"m-{uuid.uuid4().hex}")
