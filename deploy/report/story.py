"""Story of a promotion: its course through the fleet's records, and what each of its gates said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from bundle.registry.fleet_log import FleetLog
from bundle.registry.generation import Generation, PromotionState, Ref
from deploy.errors import NotReported
from deploy.gates.offline import left_out
from deploy.gates.outcome import LeftOut
from deploy.gates.plan import GatesPlan

_MOST_RECORDS: Final = 5000
"""Records of a fleet that one promotion is looked for in"""
_ADAPTER: Final = TypeAdapter(PromotionState)


@dataclass(frozen=True, slots=True)
class Milestone:
    """A record of the promotion: from here on the fleet was like this."""

    at: float
    """Unix time, seconds"""
    number: int
    """Of the generation"""
    phase: str
    step: int
    share: float
    """Of the units that the newcomer answers"""
    by: str
    reason: str

    @property
    def name(self) -> str:
        """`canary 25 %`"""
        return f"{self.phase} {100.0 * self.share:g} %" if self.phase == "canary" else self.phase


@dataclass(frozen=True, slots=True)
class Result:
    """What one gate said, as the record keeps it."""

    at: float
    """Unix time, seconds"""
    phase: str
    step: int
    gate: str
    outcome: str
    text: str
    figure: float | str | None
    limit: float | str | None
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Story:
    """A promotion from its beginning to the newest record of it."""

    fleet: str
    state: PromotionState
    before: Ref | None
    """The champion when it began"""
    champion: Ref | None
    """The champion at its end"""
    course: tuple[Milestone, ...]
    """One per step, in order"""
    results: tuple[Result, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def ended(self) -> bool:
        return self.state.phase in ("promoted", "rolled-back")

    def values(self) -> dict[str, Any]:
        """Everything, as plain values for JSON."""
        return {
            "format": 1,
            "fleet": self.fleet,
            "champion_before": None if self.before is None else asdict(self.before),
            "champion": None if self.champion is None else asdict(self.champion),
            "promotion": _ADAPTER.dump_python(self.state, mode="json"),
            "course": [asdict(one) for one in self.course],
            "left_out": [asdict(one) for one in self.left_out],
        }

    def of(self, prefix: str) -> list[Result]:
        """The results of the gates whose names begin so, in order."""
        return [one for one in self.results if one.gate.startswith(prefix)]


def story_of(log: FleetLog, generation: Generation) -> Story:
    """The story of the promotion in a record. Raises NotReported if there is none, and a RegistryError."""
    state = generation.promotion
    if state is None:
        raise NotReported(
            f"generation {generation.number} of fleet {log.name} has no promotion to report; name one of a "
            f"promotion, as `demur registry history {log.name}` lists them"
        )
    records = list(_records(log, generation, state))
    begun = records[0]
    earlier = log.after(begun.number - 2) if begun.number > 1 else None
    return Story(
        log.name,
        state,
        None if earlier is None else earlier.champion,
        generation.champion,
        tuple(_milestones(records)),
        tuple(map(_result, state.results)),
        _left_out(state, first=earlier is None or earlier.champion is None),
    )


def _records(log: FleetLog, generation: Generation, state: PromotionState) -> Iterator[Generation]:
    """The records of the promotion, the first one first."""
    found = [generation]
    for number in range(generation.number - 1, max(0, generation.number - _MOST_RECORDS), -1):
        record = log.after(number - 1)
        if record is None or record.promotion is None or record.promotion.id != state.id:
            break
        found.append(record)
    yield from reversed(found)


def _milestones(records: list[Generation]) -> Iterator[Milestone]:
    """The first record of each step, and each change of the newcomer's share."""
    last: tuple[str, int, float] | None = None
    for record in records:
        state = record.promotion
        if state is None:
            continue
        place = (state.phase, state.step, _share(record, state.newcomer))
        if place != last:
            change = record.change
            yield Milestone(change.at, record.number, *place, change.by, change.reason)
        last = place


def _share(record: Generation, newcomer: Ref) -> float:
    if record.champion == newcomer:
        return 1.0
    return next((one.share or 0.0 for one in record.challengers if one.bundle == newcomer), 0.0)


def _result(values: Mapping[str, Any]) -> Result:
    details = values.get("details")
    return Result(
        at=_number(values.get("at")) or 0.0,
        phase=str(values.get("phase", "")),
        step=int(_number(values.get("step")) or 0),
        gate=str(values.get("gate", "")),
        outcome=str(values.get("outcome", "")),
        text=str(values.get("text", "")),
        figure=_figure(values.get("figure")),
        limit=_figure(values.get("limit")),
        details=details if isinstance(details, Mapping) else {},
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _figure(value: Any) -> float | str | None:
    return value if value is None or isinstance(value, int | float) else str(value)


def _left_out(state: PromotionState, *, first: bool) -> tuple[LeftOut, ...]:
    """The offline gates that were not asked for; none where the plan is of another version."""
    try:
        plan = GatesPlan.model_validate(state.plan.get("gates", {}))
    except ValidationError:
        return ()
    said = {str(one.get("gate")) for one in state.results}
    return tuple(one for one in left_out(plan, first=first) if one.gate not in said)
