"""Orders from the parent to a worker, and the worker's reports on them.

In a worker, `follow_orders` carries out orders on a thread; `service.lineup.fleet` sends them.
"""

from __future__ import annotations

from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal

import structlog

from bundle.engines.contract import EngineError
from bundle.manifest import BundleError
from bundle.system.malloc import release_memory
from service.lineup.lineup import Deployments, LineupPlan

logger = structlog.get_logger("demur.fleet")

Action = Literal["prepare", "commit", "abort"]


@dataclass(frozen=True, slots=True)
class Order:
    """A message from the parent to a worker."""

    number: int
    action: Action
    plan: LineupPlan | None = None
    """For `prepare`."""
    reopen: bool = False
    """For `prepare`: load the champion again, even if it serves already."""


@dataclass(frozen=True, slots=True)
class Report:
    """The reply of a worker to the order of this number."""

    number: int
    done: bool
    label: str
    """The champion that is prepared or serves now, `name:version`."""
    why: str | None = None
    """The reason, if not done."""


def send(worker: Connection, order: Order) -> bool:
    """Send an order; False if the worker has just died.

    Its replacement loads the line-up of that moment.
    """
    try:
        worker.send(order)
    except OSError:
        return False
    return True


def follow_orders(orders: Connection, deployments: Deployments) -> None:
    """Carry out orders until the parent closes its end; for a thread of its own."""
    while True:
        try:
            order: Order = orders.recv()
        except (EOFError, OSError):
            return
        orders.send(_carry_out(order, deployments))
        if order.action != "prepare":
            # After the report, which must not wait for it.
            release_memory()


def _carry_out(order: Order, deployments: Deployments) -> Report:
    if order.action == "prepare" and order.plan is not None:
        try:
            prepared = deployments.prepare(order.plan, reopen=order.reopen)
            return Report(order.number, True, prepared.champion.label)
        except (BundleError, EngineError, OSError) as error:
            return Report(order.number, False, deployments.champion.label, str(error))
        except Exception as error:
            # The old line-up goes on, and the worker stays able to take orders.
            logger.exception("lineup_not_prepared", plan=str(order.plan))
            return Report(order.number, False, deployments.champion.label, f"{type(error).__name__}: {error}")
    if order.action == "commit":
        deployments.commit()
        logger.info("lineup_changed", shares=deployments.shares(), kept_open=deployments.kept)
    else:
        deployments.abort()
    return Report(order.number, True, deployments.champion.label)
