"""Changes of the line-up while workers start and die, and concurrent changes. The workers are threads that
report over real pipes when they are released."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from fakes.waiting import eventually

from service.errors import ChangeRefused, RecordUnreachable
from service.lineup.fleet import Fleet
from service.lineup.lineup import LineupPlan
from service.lineup.orders import Order, Report

ONE, TWO = Path("/bundles/one"), Path("/bundles/two")


class Worker:
    """Records its orders, and prepares when released."""

    def __init__(self, fleet: Fleet, number: int, *, released: bool = True) -> None:
        self.orders: list[str] = []
        self.may_prepare = threading.Event()
        self._dead = threading.Event()
        if released:
            self.may_prepare.set()
        ours, theirs = Pipe()
        with fleet.membership:
            fleet.workers[number] = ours
        threading.Thread(target=self._follow, args=(theirs,), daemon=True).start()

    def _follow(self, orders: Connection) -> None:
        with orders:
            while True:
                try:
                    order: Order = orders.recv()
                except (EOFError, OSError):
                    return
                self.orders.append(order.action)
                if order.action == "prepare":
                    self.may_prepare.wait(120)
                if self._dead.is_set():
                    return
                with suppress(OSError):  # the fleet may have closed the pipe meanwhile
                    orders.send(Report(order.number, True, "label"))

    def die(self, fleet: Fleet, number: int) -> None:
        """Die while preparing: the pipe closes with the thread, as it would with a process."""
        with fleet.membership:
            del fleet.workers[number]
        self._dead.set()
        self.may_prepare.set()


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(LineupPlan(ONE))


def test_a_worker_that_starts_during_a_change_takes_part_in_it(fleet: Fleet) -> None:
    slow, dying = Worker(fleet, 0, released=False), Worker(fleet, 1, released=False)
    with ThreadPoolExecutor(1) as pool:
        change = pool.submit(fleet.activate, TWO)
        eventually(lambda: slow.orders == dying.orders == ["prepare"])
        dying.die(fleet, 1)
        # A start does not wait for the end of the change.
        replacement = Worker(fleet, 1)
        assert fleet.plan.champion == ONE
        slow.may_prepare.set()
        assert change.result(10) == "label"
    assert slow.orders == replacement.orders == ["prepare", "commit"]
    assert fleet.plan.champion == TWO


def test_a_change_goes_on_without_a_worker_that_dies(fleet: Fleet) -> None:
    slow, dying = Worker(fleet, 0, released=False), Worker(fleet, 1, released=False)
    with ThreadPoolExecutor(1) as pool:
        change = pool.submit(fleet.activate, TWO)
        eventually(lambda: slow.orders == dying.orders == ["prepare"])
        dying.die(fleet, 1)
        slow.may_prepare.set()
        assert change.result(10) == "label"
    assert slow.orders == ["prepare", "commit"]


def test_a_worker_that_is_late_is_replaced_and_blocks_no_later_change() -> None:
    replaced: list[Connection] = []
    fleet = Fleet(LineupPlan(ONE), limit=lambda _: 0.3, replace=replaced.append)
    late, other = Worker(fleet, 0, released=False), Worker(fleet, 1)
    with pytest.raises(ChangeRefused, match="did not answer in time, and is replaced"):
        fleet.activate(TWO)
    assert replaced == [fleet.workers[0]]
    assert (other.orders, fleet.plan.champion) == (["prepare", "abort"], ONE)
    assert fleet.activate(TWO) == "label"
    assert late.orders == ["prepare"]
    assert fleet.plan.champion == TWO


def test_a_refusal_of_the_trial_reaches_no_worker() -> None:
    def refuse(folder: Path, cancelled: Callable[[], bool]) -> str | None:
        raise ChangeRefused(f"{folder.name} never ends")

    fleet = Fleet(LineupPlan(ONE), trial=refuse)
    worker = Worker(fleet, 0)
    with pytest.raises(ChangeRefused, match="two never ends"):
        fleet.activate(TWO)
    assert worker.orders == []


def test_a_bundle_that_abstains_on_everything_is_activated_only_on_request() -> None:
    fleet = Fleet(LineupPlan(ONE), trial=lambda folder, cancelled: "no certificate")
    worker = Worker(fleet, 0)
    with pytest.raises(ChangeRefused, match=r"abstain on every image \(no certificate\).*\?allow=abstaining"):
        fleet.activate(TWO, allow_abstaining=False)
    assert worker.orders == []
    assert fleet.activate(TWO, allow_abstaining=True) == "label"


def test_a_change_whose_client_has_gone_is_dropped(fleet: Fleet) -> None:
    first, gone = Worker(fleet, 0, released=False), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        change = pool.submit(fleet.activate, TWO)
        eventually(lambda: first.orders == ["prepare"])
        waiting = pool.submit(fleet.activate, Path("/bundles/three"), gone.is_set)
        gone.set()
        with pytest.raises(ChangeRefused, match="the client has gone"):
            waiting.result(10)
        first.may_prepare.set()
        assert change.result(10) == "label"
    assert fleet.plan.champion == TWO


def test_a_change_whose_client_goes_while_it_is_prepared_is_undone(fleet: Fleet) -> None:
    worker, gone = Worker(fleet, 0, released=False), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        change = pool.submit(fleet.activate, TWO, gone.is_set)
        eventually(lambda: worker.orders == ["prepare"])
        gone.set()
        worker.may_prepare.set()
        with pytest.raises(ChangeRefused, match="the client has gone"):
            change.result(10)
    assert (worker.orders, fleet.plan.champion) == (["prepare", "abort"], ONE)


def test_rolling_back_twice_never_returns_to_the_bundle_that_was_rolled_back(fleet: Fleet) -> None:
    Worker(fleet, 0)
    three = Path("/bundles/three")
    fleet.activate(TWO)
    fleet.activate(three)
    fleet.roll_back(three, TWO)
    assert (fleet.plan.champion, fleet.previous) == (TWO, ONE)
    fleet.roll_back(TWO, ONE)
    assert (fleet.plan.champion, fleet.previous) == (ONE, None)


def test_a_bundle_that_was_rolled_back_is_no_target_even_if_it_had_served_before(fleet: Fleet) -> None:
    Worker(fleet, 0)
    for folder in (TWO, ONE, TWO):
        fleet.activate(folder)
    fleet.roll_back(TWO, ONE)
    assert (fleet.plan.champion, fleet.previous) == (ONE, None)


def test_without_workers_nothing_changes(fleet: Fleet) -> None:
    with pytest.raises(ChangeRefused, match="no worker is running"):
        fleet.activate(TWO)
    assert fleet.plan.champion == ONE


def test_one_of_two_concurrent_rollbacks_succeeds(fleet: Fleet) -> None:
    worker = Worker(fleet, 0)
    fleet.activate(TWO)
    worker.may_prepare.clear()
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(fleet.roll_back, TWO, ONE) for _ in range(2)]
        eventually(lambda: worker.orders[2:] == ["prepare"])
        worker.may_prepare.set()
        faults = [change.exception(10) for change in both]
    (refusal,) = [fault for fault in faults if fault is not None]
    assert isinstance(refusal, ChangeRefused)
    assert "another change came first, and one answers since" in str(refusal)
    assert (fleet.plan.champion, fleet.previous) == (ONE, None)


def test_following_swaps_what_is_kept_open_without_a_trial() -> None:
    tried: list[Path] = []
    activated: list[str] = []

    def trial(folder: Path, cancelled: Callable[[], bool]) -> None:
        tried.append(folder)

    fleet = Fleet(LineupPlan(ONE), trial=trial, activated=activated.append)
    worker = Worker(fleet, 0)
    fleet.follow(lambda plan: replace(plan, kept=(TWO,)))
    assert (tried, activated, fleet.previous) == ([TWO], [], None)
    fleet.follow(lambda plan: LineupPlan(TWO, kept=(ONE,)), [ONE])
    assert (tried, activated, fleet.previous) == ([TWO], ["label"], ONE)
    fleet.follow(lambda plan: plan, [])
    assert (fleet.previous, worker.orders) == (None, ["prepare", "commit"] * 2)


def test_a_record_that_does_not_take_a_change_undoes_it(fleet: Fleet) -> None:
    worker = Worker(fleet, 0)

    def overtaken(plan: LineupPlan) -> None:
        raise ChangeRefused("the fleet has moved on")

    def away(plan: LineupPlan) -> None:
        raise RecordUnreachable("the registry does not answer")

    for keep in (overtaken, away):
        with pytest.raises(ChangeRefused, match=r"^the (fleet has moved on|registry does not answer)$"):
            fleet.change(lambda plan: replace(plan, kept=(TWO,)), keep=keep)
    assert (worker.orders, fleet.plan) == (["prepare", "abort"] * 2, LineupPlan(ONE))
