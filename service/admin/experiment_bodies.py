"""Bodies and queries of the experiment routes, checked as a whole: every fault is named at once."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from monitoring.choices import OnMismatch
from monitoring.experiments.definition import METRICS, NAME, Guardrails, Metric
from service.errors import InvalidField, MissingField
from service.openapi.experiments import MAX_ARMS, MAX_DEALS, MAX_LOOKS, MAX_TEXT

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT)]
Share = Annotated[float, Field(gt=0, le=1, strict=True)]
Limit = Annotated[float, Field(gt=0, le=1, strict=True)]
Inside = Annotated[float, Field(gt=0, lt=1)]

_Asked = TypeVar("_Asked", bound=BaseModel)


class Told(BaseModel):
    """By whom something is changed, and why: both are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Text
    reason: Text


class GuardrailBody(BaseModel):
    """Limits; null switches one off, and one that is left out has its default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    coverage: Limit | None = Guardrails().coverage
    risk: Limit | None = Guardrails().risk
    errors: Limit | None = Guardrails().errors
    latency: Limit | None = Guardrails().latency
    slow: Annotated[float, Field(gt=0, le=3600, strict=True)] = Guardrails().slow

    def values(self) -> Guardrails:
        return Guardrails(**self.model_dump())


class StartBody(Told):
    """What an experiment is to be."""

    name: Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$")]
    arms: Annotated[dict[str, Share | Literal["shadow"]], Field(max_length=MAX_ARMS)] = {}
    salt: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1)] = METRICS
    guardrails: GuardrailBody = GuardrailBody()
    on_mismatch: OnMismatch = "hold"


class ShareBody(Told):
    """Another share of an arm."""

    arm: Text
    share: Share | Literal["shadow"]


class WithdrawBody(Told):
    """The arm that is to leave."""

    arm: Text


class PowerQuery(BaseModel):
    """What an experiment is to find; the traffic is that of the event log."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Metric = "accuracy"
    difference: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    share: Inside = 0.5
    power: Inside = 0.9


class SelfTestQuery(BaseModel):
    """How equal arms are dealt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: Inside = 0.5
    deals: Annotated[int, Field(ge=10, le=MAX_DEALS)] = 100
    looks: Annotated[int, Field(ge=1, le=MAX_LOOKS)] = 20


def parsed(kind: type[_Asked], content: dict[str, Any]) -> _Asked:
    """The body or query. Raises MissingField or InvalidField with every fault, and the first one's field."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        faults = _merged(error, kind)
    first, missing = next(iter(faults)), [name for name, what in faults.items() if what == "is missing"]
    detail = "; ".join(f"{name} {what}" for name, what in faults.items())
    if len(missing) == len(faults):
        raise MissingField(detail, field=first)
    raise InvalidField(detail, field=first)


def _merged(error: ValidationError, kind: type[BaseModel]) -> dict[str, str]:
    """Field -> what is wrong with it; the faults of several types that it might have had are one."""
    faults: dict[str, str] = {}
    for fault in error.errors(include_url=False):
        where = ".".join(str(part) for part in fault["loc"] if part not in ("float", "literal['shadow']"))
        message = {
            "missing": "is missing",
            "extra_forbidden": f"is no field; the fields are {', '.join(_fields(kind, fault['loc']))}",
        }.get(fault["type"], f"is {_short(fault['input'])}: {fault['msg'][:1].lower()}{fault['msg'][1:]}")
        faults[where] = message if where not in faults else f"{faults[where]}, or {fault['msg'].lower()}"
    return faults


def _fields(kind: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    return list((GuardrailBody if place[0] == "guardrails" else kind).model_fields)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 64 else f"{text[:61]}..."
