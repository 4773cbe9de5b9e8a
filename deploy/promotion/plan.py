"""Plan of a promotion: gates, steps and limits, as a frozen value that the registry keeps with each record.

Each step has a longest time, after which it ends in a rollback. A share of the canary, a least number of
units and a time are always written together, so that no step lasts for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    model_validator,
)
from pydantic_core import PydanticCustomError

from deploy.gates.plan import GatesPlan, Longest, Seconds, or_none
from monitoring.experiments.changes import PROMOTION_GUARDRAILS
from monitoring.experiments.definition import Guard

GUARDS: Final[tuple[Guard, ...]] = ("coverage", "risk", "errors", "latency")
_HOUR: Final = 3600.0


Units = Annotated[StrictInt, Field(ge=1, le=10_000_000)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False, strict=True)]
Limit = Annotated[Annotated[float, Field(gt=0.0, le=1.0, strict=True)] | None, BeforeValidator(or_none)]


class Section(BaseModel):
    """A part of the plan."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class PreparePlan(Section):
    """Every service loads the newcomer beside the champion."""

    longest: Longest = 600.0
    """Seconds"""


class ShadowPlan(Section):
    """The newcomer computes what the champion answers, and answers nothing."""

    units: Units = 200
    """Least number of live units"""
    longest: Longest = _HOUR
    """Seconds"""
    agreement: Fraction = 0.9
    """Least share of requests that both decide alike: the same answer, or both none"""
    coverage: Fraction = 0.1
    """Largest fall of the share of requests that are answered"""


class CanaryStep(Section):
    """The newcomer answers a share of the units."""

    share: Annotated[float, Field(gt=0.0, lt=1.0, strict=True)]
    """Of the units"""
    units: Units
    """Least number of units that the newcomer has answered in this step"""
    longest: Longest
    """Seconds"""
    within: Annotated[tuple[Guard, ...] | None, Field(max_length=4)] = None
    """Guardrails that must be shown to be within their limits before the next step; None: all that have a
    limit in the last step, and none in the steps before it, where a guardrail can only end the promotion"""


class GuardPlan(Section):
    """How much worse than the champion the newcomer may be, as differences of shares; None: not watched."""

    coverage: Limit = PROMOTION_GUARDRAILS.coverage
    """Fall of the share of requests that are answered"""
    risk: Limit = PROMOTION_GUARDRAILS.risk
    """Rise of the share of answers that are wrong, over audits"""
    errors: Limit = PROMOTION_GUARDRAILS.errors
    """Rise of the share of requests that fail"""
    latency: Limit = PROMOTION_GUARDRAILS.latency
    """Rise of the share of requests that take longer than `slow`"""
    slow: Annotated[float, Field(gt=0.0, le=600.0, strict=True)] = PROMOTION_GUARDRAILS.slow
    """Seconds"""

    @property
    def watched(self) -> tuple[Guard, ...]:
        """The guardrails that have a limit."""
        return tuple(guard for guard in GUARDS if getattr(self, guard) is not None)


class SwitchPlan(Section):
    """Every service answers everything from the newcomer."""

    longest: Longest = 120.0
    """Seconds"""


class ApprovalPlan(Section):
    """A person says yes."""

    longest: Longest = 7 * 86_400.0
    """Seconds for which the promotion waits for it"""


DEFAULT_CANARY: Final = tuple(
    CanaryStep.model_validate({"share": share, "units": units, "longest": "2h"})
    for share, units in ((0.05, 200), (0.25, 500), (0.5, 1000))
)


class Plan(Section):
    """The whole plan. `Plan()` has the defaults."""

    gates: GatesPlan = Field(default_factory=GatesPlan)
    prepare: PreparePlan = Field(default_factory=PreparePlan)
    shadow: Annotated[ShadowPlan | None, BeforeValidator(or_none)] = Field(default_factory=ShadowPlan)
    canary: Annotated[tuple[CanaryStep, ...], Field(max_length=20)] = DEFAULT_CANARY
    guardrails: GuardPlan = Field(default_factory=GuardPlan)
    approve: Literal["none", "required"] = "none"
    approval: ApprovalPlan = Field(default_factory=ApprovalPlan)
    everything: SwitchPlan = Field(default_factory=SwitchPlan)
    services: Annotated[StrictInt, Field(ge=0, le=10_000)] = 1
    """Least number of services that report; 0: none does, and only the offline gates are asked"""
    lease: Annotated[Seconds, Field(ge=2.0, le=600.0)] = 30.0
    """Seconds without a sign of life after which another promoter takes over"""

    @model_validator(mode="before")
    @classmethod
    def _without_services(cls, values: Any) -> Any:
        """A plan for a fleet that reports nothing has no live step by default."""
        if (
            isinstance(values, Mapping)
            and values.get("services") == 0
            and values.get("services") is not False
        ):
            return {"shadow": None, "canary": (), **values}
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_rising([one.share for one in self.canary])
        _require_watched(self.canary, self.guardrails)
        if not self.services and (self.canary or self.shadow is not None):
            raise PydanticCustomError(
                "no_services",
                "services is 0, and shadow and canary count what services report; leave both out, or let "
                "services be at least 1",
            )
        return self

    def deciding(self, index: int) -> tuple[Guard, ...]:
        """The guardrails that must be within their limits before the canary's step `index` is passed."""
        within = self.canary[index].within
        if within is None:
            return self.guardrails.watched if index + 1 == len(self.canary) else ()
        return within

    def to_values(self) -> dict[str, Any]:
        """Plain values for the registry; `from_values` is the inverse."""
        return self.model_dump(mode="json")


def _require_rising(shares: Sequence[float]) -> None:
    for index, (before, share) in enumerate(pairwise(shares), start=1):
        if share <= before:
            raise PydanticCustomError(
                "share_falls",
                "canary[{index}].share is {share}; it must be above {before}, the share of the step before "
                "it: write the steps in rising order",
                {"index": index, "share": share, "before": before},
            )


def _require_watched(canary: Sequence[CanaryStep], guardrails: GuardPlan) -> None:
    if canary and not guardrails.watched:
        raise PydanticCustomError(
            "unwatched",
            "guardrails has no limit, so nothing watches the canary; give one of {guards} a limit, or write "
            "canary: []",
            {"guards": ", ".join(GUARDS)},
        )
    for index, one in enumerate(canary):
        unwatched = sorted(set(one.within or ()) - set(guardrails.watched))
        if unwatched:
            raise PydanticCustomError(
                "within",
                "canary[{index}].within names {guards}, without a limit under guardrails; give it one, or "
                "take it out",
                {"index": index, "guards": ", ".join(unwatched)},
            )
