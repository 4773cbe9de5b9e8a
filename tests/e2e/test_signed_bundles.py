"""Every door of a service that requires signatures, and everything that must not come in through it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from fakes.service_process import ServiceProcess
from fakes.signing_keys import KeyPair, write_certified, write_pair
from fakes.tiny_bundle import write_tiny_bundle
from fakes.waiting import eventually

from bundle.sign import SigningKey, sign_bundle
from bundle.signing.envelope import SIGNATURE_FILE
from bundle.verify import read_manifest

TOKEN = "a-token-of-the-tests-0123456789"
GOLDEN = "golden/000.jpg"


def _unsigned(folder: Path, strangers: KeyPair) -> None:
    (folder / SIGNATURE_FILE).unlink()


def _of_another_key(folder: Path, strangers: KeyPair) -> None:
    sign_bundle(folder, SigningKey(strangers.private))


def _of_another_bundle(folder: Path, strangers: KeyPair) -> None:
    shutil.copy(folder.parent / "one" / SIGNATURE_FILE, folder / SIGNATURE_FILE)


def _half_a_signature(folder: Path, strangers: KeyPair) -> None:
    data = (folder / SIGNATURE_FILE).read_bytes()
    (folder / SIGNATURE_FILE).write_bytes(data[: len(data) // 2])


def _by_an_expired_certificate(folder: Path, strangers: KeyPair) -> None:
    expired = write_certified(strangers.private.parent / folder.name, "expired", days=(-30, -1))
    shutil.copy(expired.authority, strangers.private.parent / "authority.crt")
    sign_bundle(folder, SigningKey(expired.private, expired.certificate))


def _altered(folder: Path, strangers: KeyPair) -> None:
    (folder / "README.md").write_text("changed")


def _half_copied(folder: Path, strangers: KeyPair) -> None:
    (folder / GOLDEN).unlink()


FAULTS: Mapping[str, tuple[Callable[[Path, KeyPair], None], str]] = {
    "unsigned": (_unsigned, SIGNATURE_FILE),
    "of-another-key": (_of_another_key, SIGNATURE_FILE),
    "of-another-bundle": (_of_another_bundle, SIGNATURE_FILE),
    "half-a-signature": (_half_a_signature, SIGNATURE_FILE),
    "by-an-expired-certificate": (_by_an_expired_certificate, SIGNATURE_FILE),
    "altered": (_altered, "README.md"),
    "half-copied": (_half_copied, GOLDEN),
}
"""Name of a faulty bundle -> how it comes about, and the file that every refusal must name"""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeyPair, KeyPair]:
    """Ours, and a stranger's."""
    folder = tmp_path_factory.mktemp("keys")
    return write_pair(folder, "ours"), write_pair(folder, "strangers")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory, keys: tuple[KeyPair, KeyPair]) -> Path:
    """Two bundles that we signed, and a copy of the second with each fault."""
    folder = tmp_path_factory.mktemp("bundles")
    ours, strangers = keys
    write_tiny_bundle(folder / "one", stages=1)
    write_tiny_bundle(folder / "two", stages=1, name="other")
    for name in ("one", "two"):
        sign_bundle(folder / name, SigningKey(ours.private))
    for name, (spoil, _) in FAULTS.items():
        shutil.copytree(folder / "two", folder / name)
        spoil(folder / name, strangers)
    return folder


@pytest.fixture(scope="module")
def trusted(bundles: Path, keys: tuple[KeyPair, KeyPair]) -> list[str]:
    """Our key, and the authority of the certificate that has expired."""
    return [str(keys[0].public), str(keys[1].private.parent / "authority.crt")]


@pytest.fixture(scope="module")
def service(
    bundles: Path, trusted: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    with ServiceProcess(
        bundles / "one",
        tmp_path_factory.mktemp("service"),
        cores=1,
        redis_url="off",
        admin_port=0,
        admin_token=TOKEN,
        signatures="require",
        trusted_keys=trusted,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def admin(service: ServiceProcess) -> Iterator[httpx.Client]:
    with service.admin(TOKEN) as client:
        yield client


def serving(service: ServiceProcess) -> str:
    with service.client() as client:
        return str(client.get("/health").json()["bundle"]["name"])


def answers(service: ServiceProcess) -> bool:
    # Short, since a connection waits for a worker that is not there.
    with suppress(httpx.HTTPError), httpx.Client(base_url=service.url, timeout=1, trust_env=False) as client:
        return client.get("/readyz").status_code == 200
    return False


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("door", ["verify", "activate", "challenger"])
def test_the_private_port(admin: httpx.Client, service: ServiceProcess, door: str, fault: str) -> None:
    if door == "challenger":
        refusal = admin.put(f"/challengers/{fault}", json={"share": 0.5})
    else:
        refusal = admin.post(f"/bundles/{fault}/{door}")
    assert refusal.status_code == 409, refusal.text
    assert refusal.json()["type"] == "urn:demur:problem:bundle-refused"
    assert FAULTS[fault][1] in refusal.json()["detail"]
    assert admin.get("/challengers").json()["challengers"] == []
    assert serving(service) == "tiny"


@pytest.mark.parametrize("fault", FAULTS)
def test_the_start(bundles: Path, trusted: list[str], tmp_path: Path, fault: str) -> None:
    settings = {"cores": 1, "redis_url": "off", "signatures": "require", "trusted_keys": trusted}
    with (
        pytest.raises(AssertionError, match=FAULTS[fault][1].replace(".", r"\.")),
        ServiceProcess(bundles / fault, tmp_path / "service", **settings),
    ):
        pass


@pytest.mark.parametrize("fault", ["unsigned", "half-copied"])
def test_the_start_of_several_workers_with_a_challenger(
    bundles: Path, trusted: list[str], tmp_path: Path, fault: str
) -> None:
    challengers = [{"folder": str(bundles / fault), "share": 0.5}]
    settings = {"redis_url": "off", "workers": 2, "signatures": "require", "trusted_keys": trusted}
    with (
        pytest.raises(AssertionError, match=FAULTS[fault][1].replace(".", r"\.")),
        ServiceProcess(bundles / "one", tmp_path / "service", challengers=challengers, **settings),
    ):
        pass


def test_signed_bundles_come_in_and_health_says_by_which_key(
    admin: httpx.Client, service: ServiceProcess
) -> None:
    assert admin.post("/bundles/two/verify").json()["signature"]["state"] == "trusted"
    assert admin.post("/bundles/two/activate").status_code == 200
    with service.client() as client:
        signature = client.get("/health").json()["bundle"]["signature"]
    assert signature["state"] == "trusted"
    assert len(signature["key"]) == 64
    assert admin.post("/rollback").status_code == 200
    assert serving(service) == "tiny"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_rollback(
    admin: httpx.Client, service: ServiceProcess, bundles: Path, keys: tuple[KeyPair, KeyPair], fault: str
) -> None:
    """The bundle before is spoilt while the one after it serves."""
    spoil, file = FAULTS[fault]
    kept, folder = bundles / "kept", bundles / "two"
    if admin.get("/bundles").json()["previous"] != "two":  # a refusal leaves it as it is
        assert admin.post("/bundles/two/activate").status_code == 200
        assert admin.post("/bundles/one/activate").status_code == 200
    shutil.copytree(folder, kept)
    try:
        spoil(folder, keys[1])
        refusal = admin.post("/rollback")
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)
    assert refusal.status_code == 409
    assert file in refusal.json()["detail"]
    assert serving(service) == "tiny"


@pytest.mark.parametrize("fault", ["unsigned", "half-copied"])
def test_a_worker_that_starts_again(
    service: ServiceProcess, bundles: Path, keys: tuple[KeyPair, KeyPair], fault: str
) -> None:
    """It loads nothing that is spoilt by now, and serves once the bundle is whole again."""
    spoil, file = FAULTS[fault]
    kept, folder = bundles / "kept", bundles / "one"
    (worker,) = service.descendants(running=b"spawn_main")
    before = len(service.logs())
    shutil.copytree(folder, kept)
    spoil(folder, keys[1])
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: any(file in str(line) for line in service.logs()[before:]), timeout=60)
    shutil.rmtree(folder)
    kept.rename(folder)
    eventually(lambda: answers(service), timeout=60)


def test_warn_serves_and_says_so(bundles: Path, trusted: list[str], tmp_path: Path) -> None:
    settings = {"redis_url": "off", "signatures": "warn", "trusted_keys": trusted}
    with ServiceProcess(bundles / "unsigned", tmp_path / "service", **settings) as running:
        with running.client() as client:
            signature = client.get("/health").json()["bundle"]["signature"]
        assert signature["state"] == "unsigned"
        (line,) = [one for one in running.logs() if one["event"] == "bundle_signature"]
        assert (line["level"], line["state"]) == ("warning", "unsigned")
        assert line["version"] == read_manifest(bundles / "unsigned").version


def test_nothing_is_checked_or_imported_by_default(bundles: Path, tmp_path: Path) -> None:
    folder = bundles / "of-another-key"
    with (
        ServiceProcess(folder, tmp_path / "service", redis_url="off") as running,
        running.client() as client,
    ):
        assert client.get("/health").json()["bundle"]["signature"] is None
    assert running.modules
    # redis looks whether cryptography is there, which imports an empty package.
    assert not {"cryptography.hazmat", "model_signing", "OpenSSL"} & set(running.modules)
