"""File of a plan: YAML into a checked plan, or all its faults at once, each with its line and the way out."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from deploy.errors import PlanRefused
from deploy.promotion.plan import Plan
from monitoring.alerts.yaml_lines import Place, YamlFault, YamlLines, shown_place

_MOST_BYTES: Final = 2**20
_INTERNAL: Final = ("Value error, ", "Input ")


def read_plan(path: Path | None) -> Plan:
    """The plan in a file; None: the defaults. Raises PlanRefused, with every fault."""
    if path is None:
        return Plan()
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise PlanRefused(f"{path}: the plan cannot be read: {why}") from None
    if len(content) > _MOST_BYTES:
        raise PlanRefused(f"{path}: the plan has more than {_MOST_BYTES:,} bytes")
    return plan_of(text, str(path))


def plan_of(text: str, name: str) -> Plan:
    """The plan in a text; `name`: of its file, for messages. Raises PlanRefused."""
    try:
        lines = YamlLines(text)
    except YamlFault as fault:
        raise _refused(name, [(fault.line, "", str(fault))]) from None
    faults = list(lines.faults)
    content = {} if lines.content is None else lines.content
    try:
        plan = Plan.model_validate(content)
    except ValidationError as error:
        faults += [_fault(lines, one) for one in error.errors()]
    else:
        if not faults:
            return plan
    raise _refused(name, faults)


def plan_from_record(values: Any) -> Plan:
    """The plan that a record keeps. Raises PlanRefused for one of another version."""
    try:
        return Plan.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = shown_place(tuple(first["loc"])) or "it"
        raise PlanRefused(
            f"the plan in the record is not one that this demur reads: {place}: {first['msg']}; go on with "
            "the version that began the promotion, or end it with `demur rollback`"
        ) from None


def _refused(name: str, faults: list[tuple[int, str, str]]) -> PlanRefused:
    count = f"{len(faults)} fault{'s' if len(faults) != 1 else ''}"
    listed = (
        f"  line {line}: {field}: {why}" if field else f"  line {line}: {why}"
        for line, field, why in sorted(set(faults))
    )
    return PlanRefused("\n".join((f"{name}: the plan has {count}:", *listed)))


def _fault(lines: YamlLines, error: ErrorDetails) -> tuple[int, str, str]:
    """(line, field, why and way out) of one of pydantic's errors."""
    place: Place = tuple(error["loc"])
    if error["type"] == "missing":
        return lines.line(place[:-1]), shown_place(place), "it is missing; write it"
    why = error["msg"]
    for internal in _INTERNAL:
        why = why.removeprefix(internal)
    if error["type"] == "extra_forbidden":
        why = _unknown(place)
    elif error["type"] == "model_type":
        why = f"it must hold fields: {', '.join(_fields(place)) or 'of the plan'}"
    elif place and not isinstance(error["input"], dict | list | tuple):
        why = f"it is {error['input']!r:.100}: {why}"
    return lines.line(place), shown_place(place), why


def _unknown(place: Place) -> str:
    known = _fields(place[:-1])
    close = get_close_matches(str(place[-1]), known, n=1, cutoff=0.6)
    way_out = f"did you mean {close[0]}?" if close else f"it must be one of {', '.join(known)}"
    return f"there is no such field; {way_out}"


def _fields(place: Place) -> tuple[str, ...]:
    """Names of the fields of the section at a place of the plan."""
    kind: type[BaseModel] = Plan
    for part in place:
        if isinstance(part, str):
            found = list(_models(kind.model_fields[part].annotation)) if part in kind.model_fields else []
            if not found:
                return ()
            kind = found[0]
    return tuple(field.alias or name for name, field in kind.model_fields.items())


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a type may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for one in get_args(annotation):
        yield from _models(one)
