"""Promoter: what runs promotions for the private port.

The service itself knows neither gates nor steps. Whoever starts it hands in what does: `demur serve` starts
`demur promote` as a process of its own, which goes on while requests are answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from service.settings import Settings


@dataclass(frozen=True, slots=True)
class PromotionOrder:
    """A promotion as it was asked for."""

    fleet: str
    by: str
    reason: str = ""
    digest: str | None = None
    """The bundle; None: the promotion that runs goes on"""
    plan: Mapping[str, Any] | None = None
    """None: the defaults"""


@dataclass(frozen=True, slots=True)
class PromoterRun:
    """A promoter at work, or one that has ended."""

    output: Path
    """File of all that it prints"""
    ended: Callable[[], str | None]
    """Its last words; None: it is at work"""


class Promoter(Protocol):
    """Starts promotions. Used from any thread."""

    def begin(self, order: PromotionOrder) -> PromoterRun:
        """Start one, unless one of this service is at work, which is given back then. Raises OSError."""

    def close(self) -> None:
        """End the one that is at work; its promotion stays in the registry as it is."""


MakePromoter = Callable[[Settings], Promoter]
"""Called with the settings of the running service, its store among them"""
