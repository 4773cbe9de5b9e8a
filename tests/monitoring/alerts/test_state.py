"""The state in a real store: one engine leads, its fence keeps others from writing, acts wait for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.alert_days import NOON, accuracy

from monitoring.alerts.alert import Act, Alert
from monitoring.alerts.engine_state import EngineState
from monitoring.alerts.state import LEASE, StoredState
from monitoring.store.connection import connect
from monitoring.store.contract import StoreUnavailable
from monitoring.store.embedded_valkey import EmbeddedValkey

STATE = EngineState(alerts={"f": Alert("f", "r", (("bundle", "demur:1"),), 1, NOON, fired_at=NOON)})


def engines(valkey: EmbeddedValkey, model: str) -> tuple[StoredState, StoredState]:
    return StoredState.at(valkey.url, model, "one"), StoredState.at(valkey.url, model, "two")


def test_one_engine_leads_and_the_other_sees_its_state_and_gives_it_its_readings(
    valkey: EmbeddedValkey, model: str
) -> None:
    one, other = engines(valkey, model)
    assert one.follow([], 0).fence == 1
    assert one.keep(STATE, 1, [])

    standing = other.follow([accuracy(0.9)], 0)
    assert (standing.fence, standing.leader, standing.state) == (None, "one", STATE)
    assert other.follow([], 0).state is None  # known already
    assert not other.keep(EngineState(), 1, [])

    again = one.follow([], 1)
    assert again.fence == 1
    assert one.follow([], 1).others == ()
    other.follow([accuracy(0.9)], 0)
    assert one.follow([], 1).others == (accuracy(0.9),)
    assert one.read() == STATE


def test_who_gives_the_lease_back_is_followed_at_once_and_cannot_write_any_more(
    valkey: EmbeddedValkey, model: str
) -> None:
    one, other = engines(valkey, model)
    assert one.follow([], 0).fence == 1
    one.release()
    assert other.follow([], 0).fence == 2
    assert not one.keep(STATE, 1, [])
    assert one.follow([], 1).fence is None


def test_an_engine_that_was_paused_for_longer_than_its_lease_cannot_write(
    valkey: EmbeddedValkey, model: str
) -> None:
    one, other = engines(valkey, model)
    assert one.follow([], 0).fence == 1
    client = connect(valkey.url)
    key = f"demur:{{{model}}}:alerts:lease"
    end = float(client.hget(key, "until") or 0)
    client.hset(key, "until", round(end - 1000 * LEASE - 1000))
    client.close()

    assert other.follow([], 0).fence == 2
    assert not one.keep(STATE, 1, [])


def test_a_store_that_lost_its_memory_gives_no_fence_twice(valkey: EmbeddedValkey, model: str) -> None:
    one, other = engines(valkey, model)
    assert one.follow([], 0).fence == 1
    assert one.keep(STATE, 1, [])
    client = connect(valkey.url)
    for key in client.scan_iter(f"demur:{{{model}}}:*"):
        client.delete(key)
    client.close()

    standing = one.follow([], 1)
    assert (standing.fence, standing.state) == (2, None)
    assert not one.keep(STATE, 1, [])
    assert one.keep(STATE, 2, [])
    assert other.follow([], 0).state == STATE


def test_acts_wait_until_they_are_a_part_of_a_kept_state(valkey: EmbeddedValkey, model: str) -> None:
    one, other = engines(valkey, model)
    act = Act("a", "acknowledge", "f", "Ada", "seen", NOON)
    other.leave(act)
    other.leave(act)
    assert one.follow([], 0).acts == (act,)

    after = STATE.with_acts((act,), NOON)
    assert one.keep(after, 1, ["a"])
    assert one.follow([], 1).acts == ()
    held = other.read()
    assert held is not None
    assert held.alerts["f"].acts == (replace(act, number=1),)


def test_only_so_many_acts_wait(valkey: EmbeddedValkey, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitoring.alerts.state._MOST_ACTS", 2)
    one, _ = engines(valkey, model)
    for name in ("a", "b"):
        one.leave(Act(name, "resolve", "f", "Ada", "seen", NOON))
    with pytest.raises(StoreUnavailable, match="none seems to run"):
        one.leave(Act("c", "resolve", "f", "Ada", "seen", NOON))


def test_a_state_of_another_version_is_none(valkey: EmbeddedValkey, model: str) -> None:
    one, _ = engines(valkey, model)
    client = connect(valkey.url)
    client.hset(f"demur:{{{model}}}:alerts:state", mapping={"document": b"{}", "version": "x"})
    client.close()
    assert one.follow([], 0).state is None
