"""Fixtures for all packages: a small real bundle, and images of its classes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.tiny_bundle import colour_image, write_tiny_bundle

# Set before any library starts its threads: with two threads each, several test processes on a few cores
# spend most of the time waiting for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A background job of a shell, or nohup, leaves these ignored to all processes that the tests start and stop.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def ledger_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The ledger of the user who runs the tests is never touched, in processes that tests start either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMUR_LEDGER", str(tmp_path_factory.mktemp("ledger")))
        yield


@pytest.fixture(scope="module", autouse=True)
def ledger_of_module(ledger_of_session: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A ledger for the fixtures of one module, which other modules know nothing of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMUR_LEDGER", str(tmp_path_factory.mktemp("ledger")))
        yield


@pytest.fixture(autouse=True)
def ledger_of_test(
    ledger_of_module: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An empty ledger for each test, so that tests may certify one split in several folders."""
    folder = tmp_path_factory.mktemp("ledger")
    monkeypatch.setenv("DEMUR_LEDGER", str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a verified two-stage bundle. It is shared: copy it before a change."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture
def make_tiny_bundle(tmp_path: Path) -> Callable[..., Path]:
    """`make_tiny_bundle(**options)` writes a variant, see `fakes.tiny_bundle.tiny_draft`."""
    written = iter(range(1000))

    def make(**options: object) -> Path:
        return write_tiny_bundle(tmp_path / "bundles" / f"variant-{next(written)}", **options)

    return make


@pytest.fixture(scope="session")
def make_colour_image() -> Callable[..., bytes]:
    """`make_colour_image(label, strength, seed, size=(h, w), encoding="JPEG")`."""
    return colour_image
