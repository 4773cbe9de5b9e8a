"""Offline step of a promotion: both bundles come out of the registry, and every gate runs over them here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from bundle.extras import ExtraMissing
from bundle.registry.generation import Ref
from bundle.registry.registry import Registry
from bundle.signing.envelope import SignatureRefused
from bundle.signing.keys import KeyUnusable
from calibration.errors import DemurError
from deploy.errors import GateUndecided, LeaseLost, PromotionEnded
from deploy.gates.environment import signature_mode, signature_policy
from deploy.gates.labelled import OpenTestSet
from deploy.gates.offline import gate_names, run_gates
from deploy.gates.outcome import GateResult
from deploy.gates.plan import GatesPlan

logger = structlog.get_logger("demur.promotion")

Bundles = tuple[Ref, Ref | None]
"""The newcomer, and the champion; None: the fleet has none"""
Told = Callable[[GateResult], None]


@dataclass(frozen=True, slots=True)
class OfflineGates:
    """The gates that need no service."""

    open_test_set: OpenTestSet | None = None
    """Opens the test set that a plan names; None: such a plan ends inconclusive"""

    def names(self, plan: GatesPlan, *, first: bool) -> tuple[str, ...]:
        """Those that the plan asks for. `first`: there is no champion to compare with."""
        return gate_names(plan, first=first)

    def run(
        self,
        plan: GatesPlan,
        folders: tuple[Path, Path | None],
        on: Told,
        cancelled: Callable[[], bool],
    ) -> tuple[GateResult, ...]:
        """Their results. `folders`: of the newcomer and of the champion; `on`: told of each result, and may
        raise; `cancelled`: asked once a second whether they must end."""
        results = run_gates(plan, *folders, on, open_test_set=self.open_test_set, cancelled=cancelled)
        return tuple(results)


def offline_results(
    gates: OfflineGates,
    registry: Registry,
    plan: GatesPlan,
    bundles: Bundles,
    on: Told,
    cancelled: Callable[[], bool],
) -> tuple[tuple[GateResult, ...], str | None]:
    """(results, fault) of the gates; an error is a fault, and so no pass. `on` may raise LeaseLost and
    PromotionEnded, which go through."""
    results: list[GateResult] = []

    def told(result: GateResult) -> None:
        results.append(result)
        on(result)

    newcomer, champion = bundles
    try:
        with TemporaryDirectory(prefix="demur-promotion-") as folder:
            one = _signed_copy(registry, newcomer, plan, Path(folder))
            other = None if champion is None else registry.pull(champion.digest, Path(folder))
            return gates.run(plan, (one, other), told, cancelled), None
    except (LeaseLost, PromotionEnded):
        raise
    except (DemurError, OSError) as error:
        return tuple(results), f"the gates could not be run: {error}"
    except Exception as error:
        logger.exception("gates_not_run", newcomer=newcomer.label)
        return tuple(results), f"the gates could not be run: {type(error).__name__}: {error}"


def _signed_copy(registry: Registry, newcomer: Ref, plan: GatesPlan, folder: Path) -> Path:
    """The newcomer with the one of its signatures that is trusted, if there is one. Whether it is good enough
    is for its gate to say."""
    if signature_mode(plan) == "require":
        with suppress(SignatureRefused, KeyUnusable, ExtraMissing, GateUndecided):
            return registry.pull(newcomer.digest, folder, signature_policy(plan))
    return registry.pull(newcomer.digest, folder)
