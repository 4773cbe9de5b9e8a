"""Bundles in a registry: pushed and pulled whole or not at all, and never changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.tiny_bundle import tiny_draft

from bundle.manifest import BundleError, BundleTampered
from bundle.registry import keys, pull, push, scratch
from bundle.registry.errors import (
    BundleNotFound,
    NoRoom,
    RecordRefused,
    RegistryDamaged,
    RegistryError,
    RegistryTooNew,
)
from bundle.registry.opening import open_registry
from bundle.registry.registry import Registry
from bundle.registry.scratch import scratch_folder
from bundle.verify import verify_bundle
from bundle.writer import write_bundle


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle, to be changed."""
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


@pytest.fixture
def digest(bundle: Path, registry: Registry) -> str:
    """The digest of the bundle, which is in the registry."""
    return registry.push(bundle, "tests").digest


def test_a_pushed_bundle_is_pulled_as_it_was(bundle: Path, registry: Registry, tmp_path: Path) -> None:
    ref = registry.push(bundle, "Ada")
    manifest = verify_bundle(bundle)
    assert ref.digest == hashlib.sha256((bundle / "bundle.json").read_bytes()).hexdigest()
    assert ref.label == f"{manifest.name}:{manifest.version}"
    pulled = registry.pull(ref.digest, tmp_path / "into")
    assert pulled == tmp_path / "into" / ref.digest
    assert content(pulled) == content(bundle)
    assert registry.has(ref.digest)
    [record] = registry.bundles()
    assert (record.ref, record.by) == (ref, "Ada")
    assert record.size == sum(len(data) for data in content(bundle).values())


def test_a_second_push_changes_nothing(bundle: Path, registry: Registry) -> None:
    first = registry.push(bundle, "Ada")
    before = content(Path(registry.address))
    assert registry.push(bundle, "Bob") == first
    assert content(Path(registry.address)) == before


def test_two_pushes_of_one_bundle_at_once_give_one_whole_bundle(
    bundle: Path, registry: Registry, tmp_path: Path
) -> None:
    barrier = threading.Barrier(2, timeout=60)

    def push_once(by: str) -> None:
        mine = open_registry(registry.address)
        barrier.wait()
        mine.push(bundle, by)

    pushers = [threading.Thread(target=push_once, args=(by,)) for by in ("Ada", "Bob")]
    for pusher in pushers:
        pusher.start()
    for pusher in pushers:
        pusher.join()
    [record] = registry.bundles()
    assert record.by in ("Ada", "Bob")
    assert content(registry.pull(record.digest, tmp_path / "into")) == content(bundle)


def test_progress_reaches_the_whole(bundle: Path, registry: Registry, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    ref = registry.push(bundle, "tests", on=lambda passed, total: seen.append((passed, total)))
    size = registry.bundles()[0].size
    assert seen[0] == (0, size)
    assert seen[-1] == (size, size)
    seen.clear()
    registry.pull(ref.digest, tmp_path / "into", on=lambda passed, total: seen.append((passed, total)))
    assert seen[-1] == (size, size)


def test_a_tampered_bundle_is_not_pushed(bundle: Path, registry: Registry) -> None:
    with (bundle / "README.md").open("a") as stream:
        stream.write("more")
    with pytest.raises(BundleTampered, match=r"README\.md"):
        registry.push(bundle, "tests")
    assert not Path(registry.address).exists()


@pytest.mark.parametrize("change", ["longer", "shorter", "other", "gone", "link"])
def test_a_bundle_that_changes_while_it_is_pushed_is_refused(
    bundle: Path, registry: Registry, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = bundle / "README.md"

    def verified_then_changed(folder: Path, **options: object) -> object:
        manifest = verify_bundle(folder)
        data = file.read_bytes()
        file.unlink()
        if change == "link":
            file.symlink_to("/etc/hostname")
        elif change != "gone":
            file.write_bytes({"longer": data + b"x", "shorter": data[:-1], "other": b"x" * len(data)}[change])
        return manifest

    monkeypatch.setattr(push, "verify_bundle", verified_then_changed)
    with pytest.raises(BundleError, match=r"README\.md"):
        registry.push(bundle, "tests")
    assert registry.bundles() == []
    assert not [key for key in content(Path(registry.address)) if key.endswith("README.md")]


def test_names_that_differ_in_case_alone_are_not_pushed(registry: Registry, tmp_path: Path) -> None:
    extra = {"metrics/readme.md": b"a", "metrics/README.md": b"b"}
    write_bundle(replace(tiny_draft(), extra=extra), tmp_path / "bundle")
    with pytest.raises(BundleTampered, match="in upper and lower case alone"):
        registry.push(tmp_path / "bundle", "tests")


@pytest.mark.parametrize("content", [b"", b"half", None])
def test_a_file_in_part_is_not_pulled(
    digest: str, registry: Registry, tmp_path: Path, content: bytes | None
) -> None:
    file = Path(registry.address) / keys.bundle_file(digest, "stage_a/model.onnx")
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(RegistryDamaged, match=r"stage_a/model\.onnx .*push BUNDLE --repair"):
        registry.pull(digest, tmp_path / "into")
    assert list((tmp_path / "into").iterdir()) == []


@pytest.mark.parametrize("file", ["bundle.json", "README.md", "stage_b/model.onnx"])
def test_a_changed_file_is_not_pulled(file: str, digest: str, registry: Registry, tmp_path: Path) -> None:
    path = Path(registry.address) / keys.bundle_file(digest, file)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(RegistryDamaged, match="was changed"):
        registry.pull(digest, tmp_path / "into")
    assert list((tmp_path / "into").iterdir()) == []


def test_a_bundle_in_part_is_completed_by_another_push(
    bundle: Path, digest: str, registry: Registry, tmp_path: Path
) -> None:
    file = Path(registry.address) / keys.bundle_file(digest, "README.md")
    file.unlink()
    registry.push(bundle, "tests")
    assert content(registry.pull(digest, tmp_path / "into")) == content(bundle)


def test_repair_writes_every_file_anew(bundle: Path, digest: str, registry: Registry, tmp_path: Path) -> None:
    for path in (keys.bundle_file(digest, "README.md"), keys.bundle_record(digest)):
        file = Path(registry.address) / path
        file.write_bytes(b"x" * file.stat().st_size)
    with pytest.raises(RegistryError):
        registry.push(bundle, "tests")
    registry.push(bundle, "tests", repair=True)
    assert content(registry.pull(digest, tmp_path / "into")) == content(bundle)
    assert [record.digest for record in registry.bundles()] == [digest]


def test_a_push_that_was_broken_off_is_no_bundle(digest: str, registry: Registry, tmp_path: Path) -> None:
    (Path(registry.address) / keys.bundle_record(digest)).unlink()
    assert registry.bundles() == []
    assert not registry.has(digest)
    assert registry.shelf().unfinished == (digest,)
    with pytest.raises(BundleNotFound):
        registry.pull(digest, tmp_path / "into")


def test_a_record_that_cannot_be_read_hides_no_other(
    make_tiny_bundle: Callable[..., Path], digest: str, registry: Registry
) -> None:
    other = registry.push(make_tiny_bundle(name="other"), "tests")
    record = Path(registry.address) / keys.bundle_record(digest)
    record.write_text(record.read_text().replace('"format": 1', '"format": 2'))
    assert [one.ref for one in registry.bundles()] == [other]
    assert "has format 2" in registry.shelf().unreadable[digest]
    with pytest.raises(RegistryTooNew):
        registry.bundle(digest)


def test_a_pulled_bundle_is_verified_again_and_a_changed_one_replaced(
    bundle: Path, digest: str, registry: Registry, tmp_path: Path
) -> None:
    pulled = registry.pull(digest, tmp_path / "into")
    (pulled / "README.md").write_text("changed")
    assert registry.pull(digest, tmp_path / "into") == pulled
    assert content(pulled) == content(bundle)
    assert [path.name for path in (tmp_path / "into").iterdir()] == [digest]


def test_several_pulls_of_one_bundle_at_once_give_one_folder(
    bundle: Path, digest: str, registry: Registry, tmp_path: Path
) -> None:
    pullers = [threading.Thread(target=lambda: registry.pull(digest, tmp_path / "into")) for _ in range(4)]
    for puller in pullers:
        puller.start()
    for puller in pullers:
        puller.join()
    assert content(tmp_path / "into" / digest) == content(bundle)
    assert [path.name for path in (tmp_path / "into").iterdir()] == [digest]


def test_what_a_killed_pull_has_left_is_removed_and_that_of_a_running_one_is_not(
    digest: str, registry: Registry, tmp_path: Path
) -> None:
    into = tmp_path / "into"
    left = into / f".{digest}.0123456789ab.partial"
    left.mkdir(parents=True)
    (left / "model.onnx").write_bytes(b"half")
    with scratch_folder(into, "other") as running:
        registry.pull(digest, into)
        assert sorted(path.name for path in into.iterdir()) == sorted([digest, running.name])


def test_a_full_disk_leaves_nothing(
    digest: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = registry.bundles()[0].size // 2
    written = 0
    fsync = os.fsync

    def filling(descriptor: int) -> None:
        nonlocal written
        written += os.fstat(descriptor).st_size
        if written > limit:
            raise OSError(28, os.strerror(28))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", filling)
    with pytest.raises(NoRoom, match=r"into does not take the bundle: No space left on device"):
        registry.pull(digest, tmp_path / "into")
    assert list((tmp_path / "into").iterdir()) == []


def test_too_little_room_is_said_before_anything_is_pulled(
    digest: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(pull.shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(NoRoom, match="has 10 bytes free, and the bundle has"):
        registry.pull(digest, tmp_path / "into")


def test_a_folder_that_cannot_be_made_is_said(digest: str, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NoRoom, match="Not a directory"):
        registry.pull(digest, tmp_path / "file" / "into")


@pytest.mark.parametrize(
    "digest", ["", "..", "../../etc", "A" * 64, "a" * 63, "a" * 65, "ä" * 64, "a" * 64 + "\n"]
)
def test_what_is_no_digest_is_no_path(digest: str, bundle: Path, registry: Registry, tmp_path: Path) -> None:
    registry.push(bundle, "tests")
    with pytest.raises(BundleNotFound):
        registry.pull(digest, tmp_path / "into")


def test_by_is_a_plain_name(bundle: Path, registry: Registry) -> None:
    with pytest.raises(RecordRefused, match="by: "):
        registry.push(bundle, "\x1b[2J")


def test_a_file_system_without_locks_takes_pulls_and_keeps_what_others_may_write(
    digest: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(37, os.strerror(37))

    into = tmp_path / "into"
    other = into / f".{digest}.0123456789ab.partial"
    other.mkdir(parents=True)
    monkeypatch.setattr(scratch.fcntl, "flock", unsupported)
    registry.pull(digest, into)
    assert sorted(path.name for path in into.iterdir()) == sorted([digest, other.name])


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_lies_in_the_place_of_a_bundle_goes(
    bundle: Path, digest: str, registry: Registry, tmp_path: Path, kind: str
) -> None:
    target = tmp_path / "into" / digest
    target.parent.mkdir()
    if kind == "file":
        target.write_text("")
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        target.symlink_to(tmp_path / "elsewhere")
    else:
        (target / "x").mkdir(parents=True)
    pulled = registry.pull(digest, tmp_path / "into")
    assert content(pulled) == content(bundle)
    assert not pulled.is_symlink()
    assert [path.name for path in (tmp_path / "into").iterdir()] == [digest]
