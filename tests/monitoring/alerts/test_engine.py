"""Engines on a real store and disk: what survives a kill, a lost store, a second service, a full disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes.alert_days import NOON, a_file, accuracy

from monitoring.alerts import engine as engine_module
from monitoring.alerts.alert import Act, Receiver
from monitoring.alerts.disk import AlertFolder
from monitoring.alerts.engine import AlertEngine
from monitoring.alerts.keeper import StateKeeper, essence_of
from monitoring.alerts.message import Message
from monitoring.alerts.rules import AlertRules
from monitoring.alerts.signals import Reading
from monitoring.alerts.state import StoredState
from monitoring.store.embedded_valkey import EmbeddedValkey

BAD, GOOD = accuracy(0.7), accuracy(0.95)
RULES = a_file(("    for: 1m\n", "    for: 4s\n"), ("    resolve_after: 30s\n", "    resolve_after: 4s\n"))


@dataclass
class Outbox:
    """Takes messages; delivers them when it is told to."""

    taken: list[tuple[str, str, str]] = field(default_factory=list)
    done: set[tuple[str, str]] = field(default_factory=set)
    works: bool = True

    def add(self, message: Message, receiver: Receiver) -> None:
        self.taken.append((message.id, message.kind, receiver.person))
        if self.works:
            self.done.add((message.id, receiver.channel))

    def finished(self) -> frozenset[tuple[str, str]]:
        found, self.done = frozenset(self.done), set()
        return found

    def readings(self, now: float) -> Sequence[Reading]:
        return []

    def kinds(self) -> list[str]:
        return [kind for _, kind, _ in self.taken]


@dataclass
class Bench:
    """Some engines that are looked at in turn, every two seconds of a clock of their own."""

    monkeypatch: pytest.MonkeyPatch
    now: float = 1000.0
    wall: float = NOON
    readings: list[Reading] = field(default_factory=list)
    outbox: Outbox = field(default_factory=Outbox)

    def __post_init__(self) -> None:
        self.monkeypatch.setattr(engine_module.time, "monotonic", lambda: self.now)

    def engine(
        self, folder: Path, store: StoredState | None, name: str = "one", rules: AlertRules = RULES
    ) -> AlertEngine:
        return AlertEngine(
            lambda: rules,
            StateKeeper(AlertFolder(folder), store),
            lambda state: self.readings,
            self.outbox,
            service=name,
            clock=lambda: self.wall,
        )

    def last(self, seconds: float, *engines: AlertEngine) -> None:
        for _ in range(round(seconds / 2)):
            self.now += 2.0
            self.wall += 2.0
            for engine in engines:
                engine.look()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def stored(url: str, model: str, name: str = "one") -> StoredState:
    return StoredState.at(url, model, name, timeout=5.0)


def test_an_engine_without_a_store_fires_tells_and_resolves(bench: Bench, tmp_path: Path) -> None:
    engine = bench.engine(tmp_path, None)
    bench.readings = [BAD]
    bench.last(14, engine)
    assert bench.outbox.kinds() == ["firing"]
    assert engine.status().role == "alone"

    bench.readings = [GOOD]
    bench.last(10, engine)
    assert bench.outbox.kinds() == ["firing", "resolved"]
    assert essence_of(AlertFolder(tmp_path).read()) == essence_of(engine.state)
    engine.close()


def test_an_engine_goes_on_where_a_killed_one_was(bench: Bench, tmp_path: Path) -> None:
    first = bench.engine(tmp_path, None)
    bench.readings = [BAD]
    bench.last(14, first)
    first._keeper._folder.close()  # as the system does when the process is killed

    second = bench.engine(tmp_path, None)
    bench.last(20, second)
    assert bench.outbox.kinds() == ["firing"]
    bench.readings = [GOOD]
    bench.last(10, second)
    assert bench.outbox.kinds() == ["firing", "resolved"]
    second.close()


def test_what_was_not_delivered_is_sent_by_the_next_engine_under_the_same_id(
    bench: Bench, tmp_path: Path
) -> None:
    bench.outbox.works = False
    first = bench.engine(tmp_path, None)
    bench.readings = [BAD]
    bench.last(14, first)
    first._keeper._folder.close()

    bench.outbox.works = True
    second = bench.engine(tmp_path, None)
    bench.last(6, second)
    (one, other) = bench.outbox.taken
    assert one == other
    bench.last(20, second)
    assert len(bench.outbox.taken) == 2
    second.close()


def test_a_second_worker_stands_by_and_takes_over(bench: Bench, tmp_path: Path) -> None:
    first, second = bench.engine(tmp_path, None), bench.engine(tmp_path, None)
    bench.readings = [BAD]
    bench.last(14, first, second)
    assert (first.status().role, second.status().role) == ("alone", "stands by")
    assert second.state.alerts.keys() == first.state.alerts.keys()

    first.close()
    bench.last(4, second)
    assert second.status().role == "alone"
    assert bench.outbox.kinds() == ["firing"]
    second.close()


def test_of_two_services_one_leads_and_the_other_goes_on_when_it_is_killed(
    bench: Bench, tmp_path: Path, valkey: EmbeddedValkey, model: str
) -> None:
    first = bench.engine(tmp_path / "a", stored(valkey.url, model, "a"), "a")
    second = bench.engine(tmp_path / "b", stored(valkey.url, model, "b"), "b")
    bench.readings = [BAD]
    bench.last(14, first, second)
    assert (first.status().role, second.status().role) == ("leads", "follows")
    assert bench.outbox.kinds() == ["firing"]

    assert first._keeper._store is not None
    first._keeper._store.release()  # as its lease ends after a kill
    bench.readings = [GOOD]
    bench.last(10, second)
    assert second.status().role == "leads"
    assert bench.outbox.kinds() == ["firing", "resolved"]
    first.close()
    second.close()


def test_without_the_store_both_go_on_and_an_acknowledgement_in_either_place_is_kept(
    bench: Bench, tmp_path: Path, private_valkey: Callable[[], EmbeddedValkey], model: str
) -> None:
    server = private_valkey()
    first = bench.engine(tmp_path / "a", stored(server.url, model, "a"), "a")
    second = bench.engine(tmp_path / "b", stored(server.url, model, "b"), "b")
    bench.readings = [BAD]
    bench.last(10, first, second)
    assert bench.outbox.kinds() == ["firing"]

    server.close()
    bench.last(14, first, second)
    assert [engine.status().role for engine in (first, second)] == ["alone", "alone"]
    assert bench.outbox.kinds() == ["firing"]
    (fingerprint,) = first.state.alerts
    second._keeper._folder.leave(Act("ack", "acknowledge", fingerprint, "Ada", "seen", NOON))
    bench.last(4, first, second)
    assert second.state.alerts[fingerprint].state == "acknowledged"

    private_valkey()
    bench.last(12, first, second)
    assert sorted(engine.status().role for engine in (first, second)) == ["follows", "leads"]
    for engine in (first, second):
        assert engine.state.alerts[fingerprint].state == "acknowledged"
    bench.last(320, first, second)
    assert bench.outbox.kinds() == ["firing"]
    first.close()
    second.close()


def test_a_store_that_is_emptied_gets_the_state_back(
    bench: Bench, tmp_path: Path, private_valkey: Callable[[], EmbeddedValkey], model: str
) -> None:
    server = private_valkey()
    store = stored(server.url, model)
    engine = bench.engine(tmp_path, store)
    bench.readings = [BAD]
    bench.last(14, engine)
    store._client.flushall()
    bench.last(2, engine)
    held = store.read()
    assert held is not None
    assert [alert.state for alert in held.alerts.values()] == ["firing"]
    assert bench.outbox.kinds() == ["firing"]
    engine.close()


def test_a_clock_that_is_set_back_an_hour_or_jumps_tells_nobody(bench: Bench, tmp_path: Path) -> None:
    engine = bench.engine(tmp_path, None)
    bench.readings = [GOOD]
    bench.last(10, engine)
    for jump in (-3600.0, 7200.0, -3600.0):
        bench.wall += jump
        bench.last(10, engine)
    assert bench.outbox.taken == []

    bench.readings = [BAD]
    bench.last(12, engine)
    bench.wall -= 3600
    bench.last(20, engine)
    assert bench.outbox.kinds() == ["firing"]
    engine.close()


def test_a_pause_of_the_machine_counts_as_what_was_seen_of_it(bench: Bench, tmp_path: Path) -> None:
    engine = bench.engine(tmp_path, None, rules=a_file())
    bench.readings = [BAD]
    bench.last(4, engine)
    bench.now += 3600
    bench.last(4, engine)
    assert [alert.state for alert in engine.state.alerts.values()] == ["pending"]
    engine.close()


def test_a_disk_that_takes_nothing_keeps_nobody_from_being_told(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    engine = bench.engine(tmp_path, None)
    monkeypatch.setattr(AlertFolder, "_write", lambda self, path, content: full(path, content))
    bench.readings = [BAD]
    bench.last(14, engine)
    bench.readings = [GOOD]
    bench.last(10, engine)
    assert bench.outbox.kinds() == ["firing", "resolved"]
    engine.close()


def test_a_state_file_that_was_cut_is_not_used(tmp_path: Path) -> None:
    folder = AlertFolder(tmp_path)
    folder.keep(folder.read())
    state = tmp_path / "state.json"
    state.write_bytes(state.read_bytes()[:-3])
    assert folder.read().alerts == {}
