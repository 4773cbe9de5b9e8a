"""Workers of a fleet as threads: they carry out orders over real pipes, and hold what they were told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from service.lineup.fleet import Fleet
from service.lineup.lineup import LineupPlan
from service.lineup.orders import Order, Report


class ThreadWorker:
    """One worker; `refuses` gives the reason why it cannot prepare a plan."""

    def __init__(
        self, fleet: Fleet, number: int, refuses: Callable[[LineupPlan], str | None] = lambda plan: None
    ) -> None:
        self.plan = fleet.plan
        self.opened = 0
        """Number of bundles that were opened by an order"""
        self._refuses = refuses
        ours, theirs = Pipe()
        with fleet.membership:
            fleet.workers[number] = ours
        threading.Thread(target=self._follow, args=(theirs,), daemon=True).start()

    def _follow(self, orders: Connection) -> None:
        prepared: LineupPlan | None = None
        while True:
            try:
                order: Order = orders.recv()
            except (EOFError, OSError):
                return
            why = None
            if order.action == "prepare" and order.plan is not None:
                why = self._refuses(order.plan)
                if why is None:
                    prepared = order.plan
                    self.opened += len(set(prepared.folders()) - set(self.plan.folders()))
            elif order.action == "commit" and prepared is not None:
                self.plan = prepared
            with suppress(OSError):
                orders.send(Report(order.number, why is None, "label", why))
