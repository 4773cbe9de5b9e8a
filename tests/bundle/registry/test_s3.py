"""An object store that fails: one sentence with the way out, in a bounded time, and no secret in it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fakes.faulty_store import FaultyStore, faulty_store
from fakes.generations import generation
from fakes.s3_server import S3Server

from bundle import extras
from bundle.extras import ExtraMissing
from bundle.registry import s3_client
from bundle.registry.errors import (
    AddressUnusable,
    RegistryDamaged,
    RegistryError,
    RegistryUnavailable,
    RegistryUnfit,
)
from bundle.registry.fleet_log import FleetLog, Overtaken
from bundle.registry.keys import MARKER, bundle_file
from bundle.registry.opening import open_registry
from bundle.registry.registry import Registry
from bundle.registry.s3_address import S3Address, parse_s3_address

SECRET = "a-very-secret-key-0123456789"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def store() -> Iterator[FaultyStore]:
    with faulty_store() as store:
        yield store


@pytest.fixture
def fleet(store: FaultyStore) -> FleetLog:
    """A fleet with one generation."""
    fleet = open_registry(store.address, timeout=60.0).fleet("scenes")
    fleet.append(generation())
    return fleet


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("403", r"refuses these credentials \(403\); they need s3:GetObject"),
        ("500", r"failed \(500\); try again"),
        ("503", r"is overloaded \(503\); try again in a while"),
        ("418", r"answers '418'; look into the log of the store"),
        ("301", r"another region; set AWS_REGION"),
        ("hang", r"did not answer within 1 s"),
        ("drip", r"did not answer within 1 s"),
        ("half", r"broke off in the middle of its answer; try again"),
        ("502", r"answers '502'"),
        ("404", r"gave an answer that is none of an object store's"),
        ("page", r"gave an answer that is none of an object store's.*look whether the address"),
    ],
)
def test_a_failure_is_one_sentence_with_the_way_out(
    store: FaultyStore, fleet: FleetLog, fault: str, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.fault = fault
    if fault in ("hang", "drip"):
        fleet = open_registry(store.address, timeout=1.0).fleet("scenes")
    for call in (lambda: fleet.after(1), fleet.newest, lambda: fleet.append(generation(2))):
        with pytest.raises(RegistryUnavailable, match=sentence) as told:
            call()
        assert store.address.partition("?")[0] in str(told.value)
        assert SECRET not in str(told.value) + caplog.text
        assert "\n" not in str(told.value)
    store.fault = None
    assert open_registry(store.address, timeout=60.0).fleet("scenes").newest() == generation()


def test_a_store_that_is_not_there_is_said(store: FaultyStore) -> None:
    fleet = open_registry("s3://bucket/registry?endpoint=http://127.0.0.1:9", timeout=5.0).fleet("scenes")
    with pytest.raises(RegistryUnavailable, match="cannot be reached; look whether the address"):
        fleet.newest()


def test_a_creation_whose_answer_was_lost_is_ours(store: FaultyStore, fleet: FleetLog) -> None:
    store.fault = "repeat"
    fleet.append(generation(2, "b"))
    store.fault = None
    assert fleet.newest() == generation(2, "b")
    with pytest.raises(Overtaken):
        fleet.append(generation(2, "b"))


def test_a_store_that_ignores_conditions_holds_bundles_and_no_fleet(
    store: FaultyStore, tiny_bundle: Path, tmp_path: Path
) -> None:
    store.honours_conditions = False
    registry = open_registry(store.address)
    with pytest.raises(RegistryUnfit, match=r"ignores conditions \(If-None-Match\).*use a store with"):
        registry.fleet("scenes").append(generation())
    assert not [key for key in store.objects if "generations" in key]
    pushed = registry.push(tiny_bundle, "tests")
    assert (registry.pull(pushed.digest, tmp_path) / "bundle.json").is_file()


def test_a_store_that_knows_no_conditions_is_said(store: FaultyStore, fleet: FleetLog) -> None:
    store.fault = "501"
    with pytest.raises((RegistryUnfit, RegistryUnavailable), match=r"conditions|501"):
        fleet.append(generation(2))
    store.fault = None
    location = open_registry(store.address).location
    store.fault = "501"
    with pytest.raises(RegistryUnfit, match=r"knows no conditions \(If-None-Match\)"):
        location.create("key", b"")


def test_half_a_file_in_the_store_is_not_pulled(
    store: FaultyStore, tiny_bundle: Path, tmp_path: Path
) -> None:
    registry = open_registry(store.address)
    digest = registry.push(tiny_bundle, "tests").digest
    key = "registry/" + bundle_file(digest, "stage_a/model.onnx")
    store.objects[key] = store.objects[key][:-10]
    with pytest.raises(RegistryDamaged, match=r"stage_a/model\.onnx has \d+ bytes; the manifest says"):
        registry.pull(digest, tmp_path / "into")
    assert list((tmp_path / "into").iterdir()) == []


@pytest.mark.parametrize("fault", ["403", "500", "half", "drip"])
def test_a_pull_that_fails_leaves_nothing(
    store: FaultyStore, tiny_bundle: Path, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_client, "_SLOWEST", 10**9)
    digest = open_registry(store.address).push(tiny_bundle, "tests").digest
    registry = open_registry(store.address, timeout=1.0 if fault == "drip" else 60.0)

    def failing(passed: int, total: int) -> None:
        store.fault = fault if passed > 0 else None

    with pytest.raises(RegistryUnavailable):
        registry.pull(digest, tmp_path / "into", on=failing)
    assert list((tmp_path / "into").iterdir()) == []


def test_wrong_credentials_and_no_bucket_on_a_real_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(address: str) -> str:
        with pytest.raises(RegistryError) as error:
            open_registry(address).fleet("scenes").newest()
        assert SECRET not in str(error.value)
        return str(error.value)

    with S3Server(tmp_path / "s3") as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        assert "does not know the access key (403)" in told(server.address())
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.environment["AWS_ACCESS_KEY_ID"])
        assert "the secret key is not that of the access key" in told(server.address())
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        assert "needs credentials, and none were found" in told(server.address())
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        assert "has no such bucket; make it, or correct the address" in told("s3://no-such-bucket/x")
        server.pause()
        begin = time.monotonic()
        with pytest.raises(RegistryUnavailable, match="did not answer within 1 s"):
            open_registry(server.address(), timeout=1.0).fleet("scenes").newest()
        # A bound on a hanging server and no statement of speed.
        assert time.monotonic() - begin < 60
        server.resume()


def test_more_names_than_a_page_has(store: FaultyStore) -> None:
    location = open_registry(store.address).location
    for number in range(23):
        location.put(f"many/{number:02d}", b"")
    assert location.names("many") == [f"{number:02d}" for number in range(23)]
    assert [one.key for one in location.objects("many")] == [f"many/{number:02d}" for number in range(23)]


def test_without_the_extra_one_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "_found", lambda module: module != "s3fs")
    with pytest.raises(ExtraMissing, match=r"needs s3fs; install demur with the extra \[s3\]: pip install"):
        open_registry("s3://bucket/registry")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("s3://", "is no name of a bucket"),
        ("s3://B/x", "is no name of a bucket"),
        ("s3://ab", "is no name of a bucket"),
        ("s3://key:secret@bucket/x", "an address with a password in it is refused"),
        ("s3://bucket/../x", "is no prefix of keys"),
        ("s3://bucket/a/./b", "is no prefix of keys"),
        ("s3://bucket/a//b", "is no prefix of keys"),
        ("s3://bucket/" + "x" * 501, "is no prefix of keys"),
        ("s3://bucket/ä", "is no prefix of keys"),
        ("s3://bucket/x?region=eu", "and not 'region'"),
        ("s3://bucket/x#y", "and not '#y'"),
        ("s3://bucket/x?endpoint=", "is no URL as"),
        ("s3://bucket/x?endpoint=host:1", "is no URL as"),
        ("s3://bucket/x?endpoint=http://me:secret@host", "is no URL as"),
        ("s3://bucket/x?endpoint=http://[", "is no URL as"),
        ("s3://[bucket/x", "cannot be read"),
    ],
)
def test_an_address_that_is_none_is_told_without_its_password(address: str, sentence: str) -> None:
    with pytest.raises(AddressUnusable, match=sentence) as told:
        open_registry(address)
    assert "secret@" not in str(told.value)


def test_the_endpoint_comes_from_the_address_or_the_environment() -> None:
    stated = parse_s3_address(urlsplit("s3://bucket/a/b/?endpoint=https://host:1/"), {})
    assert stated == S3Address("bucket", "a/b/", "https://host:1", True)
    assert str(stated) == "s3://bucket/a/b?endpoint=https://host:1"
    environment = {"AWS_ENDPOINT_URL": "http://one", "AWS_ENDPOINT_URL_S3": "http://two"}
    found = parse_s3_address(urlsplit("s3://bucket"), environment)
    assert found == S3Address("bucket", "", "http://two", False)
    assert str(found) == "s3://bucket"


def test_a_registry_opens_before_its_store_is_there() -> None:
    registry = open_registry("s3://bucket/registry?endpoint=http://127.0.0.1:9")
    assert isinstance(registry, Registry)
    assert registry.address == "s3://bucket/registry?endpoint=http://127.0.0.1:9"


def test_no_secret_is_logged(store: FaultyStore, fleet: FleetLog, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "demur")
    fleet.append(generation(2))
    assert f"registry/{MARKER}" in store.objects
    assert SECRET not in caplog.text
