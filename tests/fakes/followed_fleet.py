"""A fleet in a real registry in a folder, as the private port of a service that follows it sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bundle.registry.generation import Generation, Ref
from bundle.registry.opening import open_registry
from monitoring.fleet.report import ServiceReport
from service.admin.promoter import PromoterRun, PromotionOrder


class RegistryFleet:
    """The fleet `name` of the registry in `folder`; no service reports unless one is given."""

    def __init__(self, folder: Path, name: str = "scenes") -> None:
        self.name = name
        self.registry = open_registry(str(folder))
        self.address = self.registry.address
        self.services: list[ServiceReport] = []
        self.fault: Exception | None = None
        """Raised when the services are asked for"""

    def newest(self) -> Generation | None:
        return self.registry.fleet(self.name).newest()

    def change(self, build: Callable[[Generation | None], Generation]) -> Generation:
        return self.registry.fleet(self.name).change(build)

    def resolve(self, text: str) -> Ref:
        return self.registry.resolve(text, self.name)

    def reports(self) -> Sequence[ServiceReport]:
        if self.fault is not None:
            raise self.fault
        return self.services


@dataclass
class NotedPromoter:
    """Notes what it is asked for, does `work` in the place of a process, and ends with `said`."""

    output: Path
    said: str | None = None
    work: Callable[[PromotionOrder], object] = lambda order: None
    orders: list[PromotionOrder] = field(default_factory=list)

    def begin(self, order: PromotionOrder) -> PromoterRun:
        self.orders.append(order)
        self.work(order)
        return PromoterRun(self.output, lambda: self.said)

    def close(self) -> None:
        pass
