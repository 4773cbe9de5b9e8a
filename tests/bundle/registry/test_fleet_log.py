"""Log of a fleet: one writer wins, the other is told, and no record is lost."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from fakes.generations import change, generation, ref

from bundle.registry import changes, keys
from bundle.registry.errors import (
    FleetUnknown,
    NoRegistry,
    RecordRefused,
    RegistryDamaged,
    RegistryError,
    RegistryTooNew,
    RegistryUnavailable,
)
from bundle.registry.fleet_log import FleetLog, Overtaken
from bundle.registry.generation import Generation
from bundle.registry.opening import open_registry
from bundle.registry.registry import Registry


@pytest.fixture
def fleet(registry: Registry) -> FleetLog:
    return registry.fleet("scenes")


def record(registry: Registry, number: int) -> Path:
    """The file of a generation."""
    return Path(registry.address) / keys.generation("scenes", number)


def filled(fleet: FleetLog, count: int) -> list[Generation]:
    """`count` generations, written at 10, 20, 30, ..."""
    made = [generation(number, change=change(at=10.0 * number)) for number in range(1, count + 1)]
    for one in made:
        fleet.append(one)
    return made


def test_a_place_that_is_no_registry_yet_says_so(registry: Registry, fleet: FleetLog) -> None:
    with pytest.raises(NoRegistry, match=r"is no registry yet; `demur registry push"):
        fleet.newest()


def test_an_empty_fleet_has_no_generation(registry: Registry, fleet: FleetLog) -> None:
    registry.fleet("other").append(generation())
    assert fleet.newest() is None
    assert fleet.after(0) is None
    assert list(fleet.history()) == []
    assert fleet.at(5.0) is None
    assert registry.fleets() == ["other"]


def test_generations_are_read_back_in_order(fleet: FleetLog) -> None:
    made = filled(fleet, 12)
    assert fleet.newest() == made[-1]
    assert [fleet.after(number) for number in range(12)] == made
    assert fleet.after(12) is None
    assert list(fleet.history()) == made


def test_a_moment_in_the_past_has_the_record_of_then(fleet: FleetLog) -> None:
    made = filled(fleet, 3)
    assert [fleet.at(time) for time in (9.9, 10.0, 19.9, 25.0, 1e9)] == [
        None,
        made[0],
        made[0],
        made[1],
        made[2],
    ]


def test_after_a_clock_that_was_set_back_the_order_of_the_records_decides(fleet: FleetLog) -> None:
    fleet.append(generation(1, change=change(at=100.0)))
    fleet.append(generation(2, change=change(at=40.0)))
    assert fleet.at(50.0) == fleet.after(1)
    assert fleet.at(30.0) is None


def test_a_second_writer_is_told_who_came_first(registry: Registry, fleet: FleetLog) -> None:
    fleet.append(generation(1, "a"))
    with pytest.raises(Overtaken, match=r"generation 1 is not written, since tests has written") as told:
        fleet.append(generation(1, "b"))
    assert told.value.newest.champion == ref("a")
    assert fleet.newest() == generation(1, "a")
    fleet.append(generation(2, "b"))
    with pytest.raises(Overtaken) as told:
        fleet.append(generation(1, "c"))
    assert told.value.newest.number == 2


def test_a_record_after_a_gap_is_refused(fleet: FleetLog) -> None:
    filled(fleet, 1)
    with pytest.raises(RegistryError, match=r"generation 3 is not written, since there is no generation 2"):
        fleet.append(generation(3))
    assert fleet.newest() == generation(1, change=change(at=10.0))


def test_what_no_reader_would_take_is_not_written(fleet: FleetLog) -> None:
    with pytest.raises(RecordRefused, match=r"reason"):
        fleet.append(generation(1, change=change("\x1b[2J")))
    assert fleet.newest() is None


def test_of_two_writers_of_one_generation_one_wins_200_times(fleet: FleetLog, registry: Registry) -> None:
    won: list[list[str]] = [[] for _ in range(200)]
    told: list[list[Generation]] = [[] for _ in range(200)]
    barrier = threading.Barrier(2, timeout=60)

    def write(letter: str) -> None:
        log = open_registry(registry.address).fleet("scenes")
        for turn in range(200):
            barrier.wait()
            try:
                log.append(generation(turn + 1, letter))
                won[turn].append(letter)
            except Overtaken as error:
                told[turn].append(error.newest)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [len(one) for one in won] == [1] * 200
    written = list(fleet.history())
    assert [one.champion for one in written] == [ref(one[0]) for one in won]
    assert [len(one) for one in told] == [1] * 200
    # Told by whom: by the winner of this generation, unless that has written the next one as well meanwhile.
    assert all(one[0] in written[turn : turn + 2] for turn, one in enumerate(told))


def test_changes_of_several_writers_are_all_kept(fleet: FleetLog, registry: Registry) -> None:
    fleet.append(generation(1, "0"))

    def promote(letter: str) -> None:
        log = open_registry(registry.address).fleet("scenes")
        for _ in range(5):
            log.change(lambda now: changes.promoted(now, ref(letter), change(letter)))

    writers = [threading.Thread(target=promote, args=(letter,)) for letter in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    reasons = [one.change.reason for one in fleet.history()]
    assert sorted(reasons[1:]) == ["a"] * 5 + ["b"] * 5 + ["c"] * 5


def test_a_change_that_is_always_overtaken_ends(fleet: FleetLog, registry: Registry) -> None:
    other = registry.fleet("scenes")

    def build(now: Generation | None) -> Generation:
        other.append(changes.promoted(now, ref("b"), change("faster")))
        return changes.promoted(now, ref("a"), change())

    with pytest.raises(Overtaken, match="faster"):
        fleet.change(build)


@pytest.mark.parametrize(
    "hint", [None, b"", b"{", b'{"number": 1}', b'{"number": "9"}', b'{"number": 99}', b"[]"]
)
def test_the_hint_is_no_truth(fleet: FleetLog, registry: Registry, hint: bytes | None) -> None:
    made = filled(fleet, 4)
    file = Path(registry.address) / keys.newest("scenes")
    if hint is None:
        file.unlink()
    else:
        file.write_bytes(hint)
    assert fleet.newest() == made[-1]


@pytest.mark.parametrize("content", [b"", b'{"number": 3, "champion"', b"\xff\xfe", b"[" * 100_000, b"NaN"])
def test_a_record_in_part_is_named(fleet: FleetLog, registry: Registry, content: bytes) -> None:
    filled(fleet, 3)
    record(registry, 3).write_bytes(content)
    with pytest.raises(RegistryDamaged, match=r"000000000003\.json in .*registry"):
        fleet.newest()
    assert fleet.after(1) == generation(2, change=change(at=20.0))


def test_a_record_under_another_number_is_damage(fleet: FleetLog, registry: Registry) -> None:
    filled(fleet, 2)
    record(registry, 2).write_bytes(record(registry, 1).read_bytes())
    with pytest.raises(RegistryDamaged, match="says that it is generation 1"):
        fleet.newest()


def test_a_record_of_a_later_format_is_refused_by_name(fleet: FleetLog, registry: Registry) -> None:
    filled(fleet, 2)
    values = json.loads(record(registry, 2).read_bytes())
    record(registry, 2).write_text(json.dumps({**values, "format": 2}))
    with pytest.raises(RegistryTooNew, match=r"000000000002\.json in .* has format 2"):
        fleet.newest()


def test_a_registry_of_a_later_format_is_refused_by_readers_and_writers(tmp_path: Path) -> None:
    (tmp_path / keys.MARKER).write_text('{"format": 2}')
    fleet = open_registry(str(tmp_path)).fleet("scenes")
    for call in (fleet.newest, lambda: fleet.append(generation())):
        with pytest.raises(RegistryTooNew, match=r"demur-registry\.json in .* has format 2"):
            call()
    assert sorted(path.name for path in tmp_path.iterdir()) == [keys.MARKER]


def test_a_registry_that_is_gone_is_no_fleet_without_news(fleet: FleetLog, registry: Registry) -> None:
    filled(fleet, 2)
    Path(registry.address).rename(Path(registry.address).with_name("elsewhere"))
    with pytest.raises(RegistryUnavailable, match="so the registry is gone"):
        fleet.after(2)


def test_a_sign_of_life_is_overwritten_and_never_stands_in_the_way(
    fleet: FleetLog, registry: Registry
) -> None:
    fleet.append(generation())
    assert fleet.beat() is None
    fleet.keep_beat({"holder": "host-1", "term": 1, "beat": 1})
    fleet.keep_beat({"holder": "host-1", "term": 1, "beat": 2})
    assert fleet.beat() == {"holder": "host-1", "term": 1, "beat": 2}
    (Path(registry.address) / keys.promoter("scenes")).write_bytes(b"{")
    assert fleet.beat() is None


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "A", "ä", "x" * 65, "a b", "-a", "a\n", "CON"]
)
def test_a_fleet_has_a_plain_name(registry: Registry, name: str) -> None:
    with pytest.raises(FleetUnknown, match=r"is no name of a fleet: 1 to 64 of"):
        registry.fleet(name)
