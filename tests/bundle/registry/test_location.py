"""What every location of a registry promises: a folder, and a real S3 server."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.generations import generation, ref
from fakes.s3_server import S3Server

from bundle.registry.errors import NoRegistry, RegistryDamaged
from bundle.registry.fleet_log import Overtaken
from bundle.registry.keys import MARKER
from bundle.registry.location import Exists, Location, Missing
from bundle.registry.opening import open_registry
from bundle.registry.s3 import PART


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3") / "data") as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty place."""
    if request.param == "folder":
        return str(tmp_path / "registry")
    server = request.getfixturevalue("server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server.address(tmp_path.name)


@pytest.fixture
def location(address: str) -> Location:
    location = open_registry(address).location
    location.create(MARKER, b'{"format": 1}')
    return location


def test_a_key_is_created_once(location: Location) -> None:
    location.create("a/one", b"1")
    with pytest.raises(Exists, match=r"a/one in .* is there already"):
        location.create("a/one", b"2")
    assert location.read("a/one", 10) == b"1"


def test_of_many_creators_of_one_key_one_wins(location: Location) -> None:
    won: list[int] = []
    barrier = threading.Barrier(8, timeout=60)

    def create(number: int) -> None:
        barrier.wait()
        try:
            location.create("a/one", str(number).encode())
            won.append(number)
        except Exists:
            pass

    creators = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for creator in creators:
        creator.start()
    for creator in creators:
        creator.join()
    assert [str(number).encode() for number in won] == [location.read("a/one", 10)]


def test_of_two_writers_of_one_generation_one_wins_200_times(address: str) -> None:
    won: list[list[str]] = [[] for _ in range(200)]
    told: list[list[str]] = [[] for _ in range(200)]
    barrier = threading.Barrier(2, timeout=120)

    def write(letter: str) -> None:
        log = open_registry(address).fleet("scenes")
        for turn in range(200):
            barrier.wait()
            try:
                log.append(generation(turn + 1, letter))
                won[turn].append(letter)
            except Overtaken:
                told[turn].append(letter)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [sorted(one + other) for one, other in zip(won, told, strict=True)] == [["a", "b"]] * 200
    written = open_registry(address).fleet("scenes").history()
    assert [one.champion for one in written] == [ref(one[0]) for one in won]


def test_a_key_that_is_put_is_replaced(location: Location) -> None:
    location.put("a/one", b"1")
    location.put("a/one", b"22")
    assert location.read("a/one", 10) == b"22"
    assert b"".join(location.download("a/one")) == b"22"


def test_a_key_that_is_not_there_is_missing(location: Location) -> None:
    for read in (lambda: location.read("a/b/c", 10), lambda: list(location.download("a/b/c"))):
        with pytest.raises(Missing, match=r"has no a/b/c"):
            read()
    location.delete("a/b/c")


def test_more_than_a_record_may_hold_is_damage(location: Location) -> None:
    location.put("a/one", b"x" * 11)
    assert location.read("a/one", 11) == b"x" * 11
    with pytest.raises(RegistryDamaged, match="has more than 10 bytes"):
        location.read("a/one", 10)


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 2 * PART + 12345])
def test_a_file_of_any_size_comes_back(location: Location, size: int) -> None:
    data = os.urandom(size)
    chunks = (data[begin : begin + 2**20] for begin in range(0, size, 2**20))
    location.upload("a/file", chunks, size)
    assert b"".join(location.download("a/file")) == data
    [found] = location.objects("a")
    assert (found.key, found.size) == ("a/file", size)
    assert found.modified > 0


@pytest.mark.parametrize("size", [10, 2 * PART])
def test_an_upload_that_breaks_off_leaves_the_key_as_it_was(location: Location, size: int) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * (size - 1)
        raise ValueError("the source has changed")

    location.put("a/file", b"before")
    with pytest.raises(ValueError, match="the source has changed"):
        location.upload("a/file", chunks(), size)
    assert location.read("a/file", 10) == b"before"
    assert location.names("a") == ["file"]


def test_names_are_one_level_and_objects_all(location: Location) -> None:
    for key in ("a/x", "a/b/y", "a/b/c/z", "ab/w"):
        location.put(key, b"1")
    assert location.names("a") == ["b", "x"]
    assert [one.key for one in location.objects("a")] == ["a/b/c/z", "a/b/y", "a/x"]
    assert location.names("nothing") == []
    assert location.objects("nothing") == []


def test_a_deleted_key_is_gone(location: Location) -> None:
    location.put("a/b/one", b"1")
    location.put("a/two", b"2")
    location.delete("a/b/one")
    # Some stores go on naming a folder that holds nothing more.
    assert [one.key for one in location.objects("a")] == ["a/two"]
    with pytest.raises(Missing):
        location.read("a/b/one", 10)


def test_a_bundle_makes_the_way_there_and_back(address: str, tiny_bundle: Path, tmp_path: Path) -> None:
    registry = open_registry(address)
    with pytest.raises(NoRegistry):
        registry.bundles()
    ref = registry.push(tiny_bundle, "tests")
    assert registry.push(tiny_bundle, "tests") == ref
    pulled = registry.pull(ref.digest, tmp_path / "into")
    files = {path.relative_to(pulled): path.read_bytes() for path in pulled.rglob("*") if path.is_file()}
    assert files == {
        path.relative_to(tiny_bundle): path.read_bytes() for path in tiny_bundle.rglob("*") if path.is_file()
    }
    assert registry.resolve(ref.digest[:12]) == ref
