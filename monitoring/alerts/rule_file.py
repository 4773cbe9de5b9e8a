"""Rules file: YAML into checked rules, or all its faults at once, each with its line and the way out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from monitoring.alerts.default_rules import DEFAULT_RULES, own_rules
from monitoring.alerts.ladders import Ladder, Person, Step
from monitoring.alerts.notifiers.config import ChannelConfig, read_channel
from monitoring.alerts.notifiers.secrets import ENVIRONMENT, shown_input
from monitoring.alerts.quiet_hours import QuietHours
from monitoring.alerts.rule_references import reference_faults
from monitoring.alerts.rules import AlertRules, Budget, Defaults, Heartbeat, Rule, raw
from monitoring.alerts.yaml_lines import Place, YamlFault, YamlLines, shown_place
from monitoring.errors import MonitoringError

_MOST_BYTES: Final = 2**20
_SECTIONS: Final = (
    *("people", "channels", "ladders", "defaults", "quiet_hours", "budget", "heartbeat"),
    *("silent_after", "built_in", "rules"),
)


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault of a rules file."""

    line: int
    field: str
    why: str

    def __str__(self) -> str:
        return (
            f"line {self.line}: {self.field}: {self.why}" if self.field else f"line {self.line}: {self.why}"
        )


class RulesUnreadable(MonitoringError):
    """A rules file has faults."""

    def __init__(self, path: Path, faults: list[Fault]) -> None:
        self.path = path
        self.faults = sorted(set(faults))
        count = f"{len(self.faults)} fault{'s' if len(self.faults) != 1 else ''}"
        super().__init__("\n".join((f"{path} has {count}:", *(f"  {fault}" for fault in self.faults))))


def read_rules(path: Path, environment: Mapping[str, str] | None = None) -> AlertRules:
    """The rules in a file. `environment`: of the variables that it names; None: the process's own.

    Raises RulesUnreadable, with every fault that can be found.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise RulesUnreadable(path, [Fault(1, "", f"the file cannot be read: {why}")]) from None
    if len(content) > _MOST_BYTES:
        raise RulesUnreadable(path, [Fault(1, "", f"it has more than {_MOST_BYTES:,} bytes")])
    return rules_of(text, path, os.environ if environment is None else environment)


def rules_of(text: str, path: Path, environment: Mapping[str, str]) -> AlertRules:
    """The rules in a text; `path` is for messages. Raises RulesUnreadable."""
    try:
        lines = YamlLines(text)
    except YamlFault as fault:
        raise RulesUnreadable(path, [Fault(fault.line, "", str(fault))]) from None
    reader = _Reader(lines, environment)
    rules = reader.read()
    if reader.faults or rules is None:
        raise RulesUnreadable(path, reader.faults)
    return rules


def built_in_rules() -> AlertRules:
    """The rules of a service without a file: everything is watched and shown, nobody is told."""
    rules = AlertRules(rules=DEFAULT_RULES)
    return rules.model_copy(update={"rules": (*DEFAULT_RULES, *own_rules(rules.silent_after))})


class _Reader:
    """Reads each part of the file by itself, so that a fault in one hides none in another."""

    def __init__(self, lines: YamlLines, environment: Mapping[str, str]) -> None:
        self._lines, self._environment = lines, environment
        self.faults = [Fault(line, field, why) for line, field, why in lines.faults]

    def read(self) -> AlertRules | None:
        content = self._lines.content
        if content is None:
            content = {}
        if not isinstance(content, dict):
            self._add((), f"the file must hold {', '.join(_SECTIONS)}; it holds {type(content).__name__}")
            return None
        for name in content:
            if name not in _SECTIONS:
                self._unknown((name,), _SECTIONS)
        parts = {
            "rules": self._rules(content),
            "people": self._named(content, "people", _model(Person)),
            "channels": self._named(content, "channels", self._channel),
            "ladders": self._named(content, "ladders", _model(Ladder)),
            **self._single(content),
        }
        for place, why in reference_faults(content):
            self._add(place, why)
        return None if self.faults else AlertRules.model_construct(**parts)

    def _rules(self, content: dict[str, Any]) -> tuple[Rule, ...]:
        listed = self._list(content, "rules")
        read_ones = (self._rule(("rules", index), one) for index, one in enumerate(listed))
        written = tuple(rule for rule in read_ones if rule is not None)
        built_in = content.get("built_in", not written)
        if not isinstance(built_in, bool):
            self._add(("built_in",), f"it is {built_in!r}; it must be true or false")
        names = {rule.name for rule in written}
        rest = tuple(rule for rule in DEFAULT_RULES if rule.name not in names) if built_in else ()
        silent_after = self._try(("silent_after",), lambda: _silent_after(content))
        return (*written, *rest, *own_rules(silent_after or 900.0))

    def _single(self, content: dict[str, Any]) -> dict[str, Any]:
        """The parts of which there is one, those that the file has."""
        found: dict[str, Any] = {"quiet_hours": self._listed(content, "quiet_hours", _model(QuietHours))}
        for name, kind in (("defaults", Defaults), ("budget", Budget), ("heartbeat", Heartbeat)):
            if content.get(name) is not None:
                found[name] = self._try((name,), partial(self._valid, kind, content[name]))
        silent_after = self._try((), lambda: _silent_after(content))
        return {**found, "silent_after": silent_after}

    def _rule(self, place: Place, values: Any) -> Rule | None:
        """A rule. If a field is at fault, the others are still held against each other."""
        found: Rule | None = self._try(place, lambda: Rule.model_validate(values))
        if found is None and isinstance(values, dict):
            sound = {name: one for name, one in values.items() if not self._is_at_fault((*place, name))}
            if {"signal", "above", "below"} & values.keys() == {"signal", "above", "below"} & sound.keys():
                known = len(self.faults)
                self._try(place, lambda: Rule.model_validate({"name": "x", **sound}))
                # What concerns single fields was said in the first round.
                self.faults[known:] = [one for one in self.faults[known:] if one not in self.faults[:known]]
        return found

    def _is_at_fault(self, place: Place) -> bool:
        field = shown_place(place)
        return any(
            fault.field == field or fault.field.startswith((f"{field}.", f"{field}["))
            for fault in self.faults
        )

    def _valid(self, kind: type[BaseModel], values: Any) -> BaseModel:
        return kind.model_validate(values, context={ENVIRONMENT: self._environment})

    def _channel(self, values: Any) -> ChannelConfig:
        return read_channel(raw(values), self._environment)

    def _named(self, content: dict[str, Any], part: str, read: Callable[[Any], Any]) -> dict[str, Any]:
        values = content.get(part)
        if values is not None and not isinstance(values, dict):
            self._add((part,), "it must hold names, each with its values")
            return {}
        found = {}
        for name, one in (values or {}).items():
            if not isinstance(name, str) or not _is_name(name):
                self._add((part, name), f"{name!r} is no name; write small letters, digits, - and _")
            elif not isinstance(one, dict | list | type(None)):
                self._add((part, name), f"it is {one!r}; it must hold values")
            elif (value := self._try((part, name), partial(read, one or {}))) is not None:
                found[name] = value
        return found

    def _listed(self, content: dict[str, Any], part: str, read: Callable[[Any], Any]) -> tuple[Any, ...]:
        values = enumerate(self._list(content, part))
        read_ones = (self._try((part, i), partial(read, one)) for i, one in values)
        return tuple(one for one in read_ones if one is not None)

    def _list(self, content: dict[str, Any], part: str) -> list[Any]:
        values = content.get(part)
        if values is not None and not isinstance(values, list):
            self._add((part,), "it must be a list, with a - before each")
            return []
        return values or []

    def _try(self, place: Place, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except ValidationError as error:
            faults = error.errors()
            for fault in faults:
                inside = len(fault["loc"])
                follows = any(
                    one["loc"][:inside] == fault["loc"] and len(one["loc"]) > inside for one in faults
                )
                if not follows:  # Of a list without a single sound member its members say more.
                    self._pydantic_fault(place, fault)
            return None

    def _pydantic_fault(self, place: Place, fault: ErrorDetails) -> None:
        # A union's error names the member of the union, which is no place in the file.
        inner = tuple(one for one in fault["loc"] if self._lines.has((*place, one)) or one not in _KINDS)
        full = (*place, *inner)
        if fault["type"] == "extra_forbidden":
            self._unknown(full, self._fields_of(full))
            return
        why = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if fault["type"] == "missing":
            self._add(place + inner[:-1], f"{inner[-1]} is missing")
            return
        shown = shown_input(fault)
        is_value = shown is not None and not isinstance(fault["input"], dict | list)
        self._add(full, f"it is {shown}: {why}" if is_value else why)

    def _fields_of(self, place: Place) -> tuple[str, ...]:
        kinds: dict[str, type[BaseModel]] = {
            "steps": Step,
            "people": Person,
            "ladders": Ladder,
            "quiet_hours": QuietHours,
            "defaults": Defaults,
            "budget": Budget,
            "heartbeat": Heartbeat,
            "rules": Rule,
        }
        kind = kinds.get("steps" if "steps" in place[:-1] else str(place[0]))
        return () if kind is None else tuple(field.alias or n for n, field in kind.model_fields.items())

    def _unknown(self, place: Place, known: tuple[str, ...]) -> None:
        name = str(place[-1])
        close = get_close_matches(name, known, n=1, cutoff=0.6)
        way_out = f"did you mean {close[0]}?" if close else "remove it"
        if known and not close:
            way_out = f"it must be one of {', '.join(known)}"
        self._add(place, f"there is no such field; {way_out}")

    def _add(self, place: Place, why: str) -> None:
        self.faults.append(Fault(self._lines.line(place), shown_place(place), why))


_KINDS: Final = frozenset({"email", "slack", "sms", "webhook", "apprise"})


def _model(kind: type[BaseModel]) -> Callable[[Any], Any]:
    return kind.model_validate


def _is_name(name: str) -> bool:
    return bool(name) and len(name) <= 64 and all(c in "abcdefghijklmnopqrstuvwxyz0123456789-_" for c in name)


def _silent_after(content: dict[str, Any]) -> float:
    values = {"rules": (), **{k: content[k] for k in ("silent_after",) if content.get(k) is not None}}
    return AlertRules.model_validate(values).silent_after
