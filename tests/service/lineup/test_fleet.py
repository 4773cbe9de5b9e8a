"""Changes of the line-up while workers start and die, and concurrent changes. The workers are threads that
report over real pipes when they are released."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from fakes.waiting import eventually

from service.errors import ChangeRefused
from service.lineup.fleet import Fleet, Order, Report
from service.lineup.lineup import LineupPlan

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
                    self.may_prepare.wait(10)
                if self._dead.is_set():
                    return
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
    assert (fleet.plan.champion, fleet.previous) == (ONE, TWO)
