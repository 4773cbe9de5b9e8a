"""The state that workers read, what is kept open, and the file of what was served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.generations import generation
from hypothesis import given
from hypothesis import strategies as st

from bundle.system.memory import Memory
from service.following.followed_file import (
    Followed,
    followed_generation,
    following_folder,
    read_followed,
    write_followed,
)
from service.following.kept import KeptOpen
from service.following.retry import Retry
from service.following.state import FleetState, KeptBundle, SharedFleetState

STATE = FleetState("roads", 7, 8, stale=False, kept=(KeptBundle("roads:1", 12.5),), promotion="canary")


def test_what_the_parent_shows_a_worker_reads() -> None:
    shared = SharedFleetState()
    assert shared.latest() is None
    shared.show(STATE)
    assert shared.latest() == STATE
    shared.show(FleetState("roads", 9, 9, note="n" * 100_000))
    assert shared.latest() == FleetState("roads", 9, 9)


def test_a_state_that_was_written_in_part_is_not_read() -> None:
    shared = SharedFleetState()
    shared.show(STATE)
    shared._cells[20] = (shared._cells[20] + 1) % 256
    assert shared.latest() is None


@pytest.mark.parametrize(
    ("state", "lagging"),
    [
        (FleetState("roads", 7, 7), False),
        (FleetState("roads", 7, 8), True),
        (FleetState("roads", 7, 7, stale=True), True),
    ],
)
def test_a_service_lags_behind_a_record_or_if_it_cannot_know(state: FleetState, lagging: bool) -> None:
    assert state.to_dict()["lagging"] is lagging


def test_a_former_champion_stays_for_its_time() -> None:
    now = [1000.0]
    kept = KeptOpen(60.0, clock=lambda: now[0], memory=lambda: None)
    kept.left("a", "b")
    assert kept.until == {"a": 1060.0}
    now[0] = 1059.0
    assert not kept.end_overdue()
    kept.left("b", "a")  # Back again: the one that serves is not kept.
    assert kept.until == {"b": 1119.0}
    now[0] = 1120.0
    assert kept.end_overdue()
    assert (kept.until, kept.note) == ({}, None)


def test_short_memory_closes_it_and_is_said() -> None:
    memory = [Memory(1000, 200)]
    kept = KeptOpen(60.0, clock=lambda: 0.0, memory=lambda: memory[0])
    kept.left("a", "b")
    assert not kept.end_overdue()
    memory[0] = Memory(1000, 99)
    assert kept.end_overdue()
    assert "memory is short" in (kept.note or "")


def test_a_clock_that_was_set_back_keeps_nothing_for_days() -> None:
    kept = KeptOpen(60.0, {"a": 10_000.0, "b": 1.0}, clock=lambda: 100.0)
    assert kept.until == {"a": 160.0}


def test_a_pause_grows_and_ends_with_another_record() -> None:
    now = [0.0]
    retry = Retry(lambda: now[0])
    pauses = []
    for _ in range(8):
        assert retry.due(3)
        retry.after(3, done=False)
        assert not retry.due(3)
        pauses.append(retry._at - now[0])
        now[0] = retry._at
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    retry.after(3, done=False)
    assert retry.due(4)


def test_what_was_served_is_read_back(tmp_path: Path) -> None:
    assert read_followed(tmp_path) is None
    followed = Followed("roads", generation(3), {"a" * 64: 12.5})
    write_followed(tmp_path, followed)
    assert read_followed(tmp_path) == followed
    assert followed_generation(tmp_path) == generation(3)
    assert [one.name for one in following_folder(tmp_path).iterdir()] == ["followed.json"]


@given(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from(
            [
                {"format": 2},
                {"fleet": "roads"},
                {"fleet": "roads", "generation": {}},
                {"fleet": "roads", "generation": {"format": 9}},
                {"fleet": "roads", "generation": None, "kept": 3},
                [],
            ]
        ).map(lambda values: json.dumps(values).encode()),
    )
)
def test_a_file_that_cannot_be_read_is_as_none(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("data")
    following_folder(folder).mkdir()
    (following_folder(folder) / "followed.json").write_bytes(data)
    assert read_followed(folder) is None
