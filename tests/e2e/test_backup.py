"""Backup and restore of a data folder, with the real service: what each part is, and what its loss costs."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import colour_image, write_tiny_bundle
from fakes.waiting import eventually

SENDER = "a-sender-of-the-tests-0123456789"
SETTINGS: dict[str, Any] = {
    "audit_share": 1.0,
    "feedback_tokens": f"tests={SENDER}",
    "on_broken_promise": "abstain",
}
REQUESTS = 40


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="module")
def backup(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with `stopped.tar`, made after a stop, and `live.tar`, of a service that goes on; and what the
    service said. Its promise is broken."""
    folder = tmp_path_factory.mktemp("backup")
    with ServiceProcess(bundle, folder / "data", **SETTINGS) as service:
        with service.client() as client:
            for number in range(REQUESTS):
                image = colour_image(1, 0.9, seed=number)
                headers = {"Content-Type": "image/jpeg", "X-Request-Id": f"r{number}"}
                assert client.post("/predict", content=image, headers=headers).status_code == 200
                body = {"request_id": f"r{number}", "label": int(number < 25)}
                client.post("/feedback", json=body, headers={"Authorization": f"Bearer {SENDER}"})
        eventually(lambda: said(service) == (REQUESTS, REQUESTS, True))
        before = rolling(service)
        pack(folder, "live.tar")
    pack(folder, "stopped.tar")
    return folder, before


def rolling(service: ServiceProcess) -> dict[str, Any]:
    with service.client() as client:
        answer = client.get("/rolling")
    found = answer.json() if answer.status_code == 200 else {}
    return {
        name: value for name, value in found.items() if name not in ("label_lag_seconds", "events_waiting")
    }


def said(service: ServiceProcess) -> tuple[int, int, bool]:
    """Predictions, labelled ones, and whether the bundle is suspended."""
    with service.client() as client:
        (monitor,) = client.get("/health").json()["monitors"]
    seen = rolling(service)
    return seen.get("predictions", 0), seen.get("labelled", 0), monitor["suspended"]


def pack(folder: Path, name: str) -> None:
    with tarfile.open(folder / name, "w") as archive:
        # A socket and the locks of a running service are no content.
        archive.add(folder / "data", "data", filter=lambda one: one if one.isfile() or one.isdir() else None)


@pytest.fixture
def restored(backup: tuple[Path, dict[str, Any]], tmp_path: Path) -> Callable[..., Path]:
    """Unpacks a backup in another place, without some folders."""

    def unpack(name: str, *without: str) -> Path:
        with tarfile.open(backup[0] / name) as archive:
            # Python 3.11.0 to 3.11.3 know no filters.
            archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        for part in without:
            shutil.rmtree(tmp_path / "data" / part)
        return tmp_path / "data"

    return unpack


@pytest.mark.parametrize(
    ("archive", "lost"),
    [
        ("stopped.tar", ()),
        ("stopped.tar", ("valkey",)),
        ("stopped.tar", ("events",)),
        ("stopped.tar", ("promise",)),
        ("live.tar", ("valkey",)),
    ],
)
def test_a_restored_service_says_what_the_stopped_one_said(
    backup: tuple[Path, dict[str, Any]],
    bundle: Path,
    restored: Callable[..., Path],
    archive: str,
    lost: tuple[str, ...],
) -> None:
    """Also without the store, which the event log fills; without the log, while the store is there; and
    without the promise's files, of which the store has a copy."""
    with ServiceProcess(bundle, restored(archive, *lost), **SETTINGS) as service:
        eventually(lambda: said(service) == (REQUESTS, REQUESTS, True))
        assert rolling(service) == backup[1]
        with service.client() as client:
            headers = {"Content-Type": "image/jpeg"}
            answer = client.post("/predict", content=colour_image(1, 0.9), headers=headers).json()
        assert answer["reason"] == "suspended"


def test_a_service_that_lost_log_store_and_promise_begins_anew(
    bundle: Path, restored: Callable[..., Path]
) -> None:
    folder = restored("stopped.tar", "valkey", "events", "promise")
    with ServiceProcess(bundle, folder, **SETTINGS) as service:
        eventually(lambda: rolling(service).get("predictions") == 0)
        assert said(service) == (0, 0, False)
