"""The root of the errors of `deploy`, below `calibration.errors.DemurError`.

DeployError
├── GateUndecided          a gate has nothing that it could decide by
├── NotReported            a record has no promotion that could be reported
├── RenderingFailed        kubectl is absent, or refuses an overlay
├── PlanRefused            a plan of a promotion has faults; each with its line
├── PromotionRefused       a promotion does not begin
│   ├── PromotionRunning   another one runs
│   ├── AlreadyChampion    the bundle serves already
│   ├── LineupBusy         an experiment or a challenger serves beside the champion
│   ├── FleetNotReady      fewer services report than the plan asks for, or one has a fault
│   └── ChampionGone       the bundle of the champion is not in the registry
├── NoPromotion            none runs that could be approved, aborted or gone on with
├── PromoterAlive          the promoter of a running promotion gives signs of life
├── LeaseLost              another promoter has taken over
└── PromotionEnded         somebody has ended the promotion while its promoter was at work
"""

from __future__ import annotations

from calibration.errors import DemurError


class DeployError(DemurError):
    """Root of the errors of this package."""


class RenderingFailed(DeployError):
    """kubectl is absent, or refuses an overlay; the message says which and why."""


class GateUndecided(DeployError):
    """A gate has nothing that it could decide by; the message says what and the way out."""


class PlanRefused(DeployError):
    """A plan of a promotion has faults."""


class PromotionRefused(DeployError):
    """A promotion does not begin; nothing was changed."""


class PromotionRunning(PromotionRefused):
    """Another promotion of the fleet runs."""


class AlreadyChampion(PromotionRefused):
    """The bundle is the champion already."""


class LineupBusy(PromotionRefused):
    """An experiment, or a challenger, serves beside the champion."""


class FleetNotReady(PromotionRefused):
    """Fewer services report than the plan asks for, or one has a fault."""


class ChampionGone(PromotionRefused):
    """The bundle of the champion is not in the registry."""


class NoPromotion(DeployError):
    """No promotion runs that could be approved, aborted or gone on with."""


class PromoterAlive(DeployError):
    """The promoter of the running promotion gives signs of life."""


class LeaseLost(DeployError):
    """Another promoter has taken over the promotion."""


class PromotionEnded(DeployError):
    """Somebody has ended the promotion while its promoter was at work."""


class NotReported(DeployError):
    """A record has no promotion that could be reported."""
