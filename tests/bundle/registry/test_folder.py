"""A folder as the location of a registry: whole files or none, and every failure with its way out."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundle.registry.errors import RegistryDamaged, RegistryUnavailable, RegistryUnfit
from bundle.registry.folder import FolderLocation
from bundle.registry.keys import MARKER
from bundle.registry.location import Exists, Missing


@pytest.fixture
def location(tmp_path: Path) -> FolderLocation:
    location = FolderLocation(tmp_path / "registry")
    location.create(MARKER, b"{}")
    return location


def test_nothing_is_left_beside_a_file_that_was_written(location: FolderLocation) -> None:
    location.create("a/one", b"1")
    location.put("a/two", b"2")
    with pytest.raises(Exists):
        location.create("a/one", b"3")
    assert sorted(path.name for path in (location.folder / "a").iterdir()) == ["one", "two"]


def test_an_upload_that_breaks_off_leaves_the_key_as_it_was(location: FolderLocation) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise ValueError("the source has changed")

    location.put("a/one", b"before")
    with pytest.raises(ValueError, match="the source has changed"):
        location.upload("a/one", chunks(), 8)
    assert location.read("a/one", 10) == b"before"
    assert location.names("a") == ["one"]


def test_a_second_link_says_that_a_repeated_creation_has_succeeded(
    location: FolderLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def twice(source: Path, target: Path) -> None:
        link(source, target)
        raise FileExistsError(errno.EEXIST, "as NFS says of a request that it has carried out and repeats")

    monkeypatch.setattr(os, "link", twice)
    location.create("a/one", b"1")
    assert location.read("a/one", 10) == b"1"


def test_a_file_system_without_hard_links_is_no_place_for_a_fleet(
    location: FolderLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    with pytest.raises(RegistryUnfit, match="without hard links"):
        location.create("a/one", b"1")


def test_a_full_disk_is_said_and_leaves_nothing(
    location: FolderLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RegistryUnavailable, match=r"cannot write a/one in .*: No space left.*free space"):
        location.put("a/one", b"1")
    assert location.names("a") == []


def test_a_folder_in_the_place_of_a_record_is_damage(location: FolderLocation) -> None:
    (location.folder / "a/one").mkdir(parents=True)
    with pytest.raises((RegistryDamaged, RegistryUnavailable), match=r"a/one"):
        location.read("a/one", 10)


def test_a_pipe_in_the_place_of_a_record_does_not_block(location: FolderLocation) -> None:
    os.mkfifo(location.folder / "pipe")
    with pytest.raises(RegistryDamaged, match="is no plain file"):
        location.read("pipe", 10)


def test_a_file_in_the_place_of_the_registry_is_said(tmp_path: Path) -> None:
    (tmp_path / "registry").write_text("")
    location = FolderLocation(tmp_path / "registry")
    with pytest.raises(RegistryUnavailable, match="cannot write"):
        location.create(MARKER, b"{}")
    with pytest.raises(Missing):
        location.read(MARKER, 10)


def test_folders_that_are_empty_after_a_deletion_go_as_well(location: FolderLocation) -> None:
    location.put("a/b/c/one", b"1")
    location.put("a/two", b"2")
    location.delete("a/b/c/one")
    location.delete("a/b/c/one")
    assert sorted(path.name for path in (location.folder / "a").iterdir()) == ["two"]


def test_a_registry_that_is_gone_is_no_empty_list(location: FolderLocation) -> None:
    assert location.names("bundles") == []
    location.folder.rename(location.folder.with_name("elsewhere"))
    for call in (location.names, location.objects):
        with pytest.raises(RegistryUnavailable, match="so the registry is gone"):
            call("bundles")
