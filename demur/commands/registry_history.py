"""`demur registry history`: what a fleet has served, who decided it, and where the report is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bundle.registry.generation import Generation
from bundle.registry.history import AliasChange, Pointed, alias_changes, standing_at
from bundle.registry.registry import Registry
from demur.commands.registry import when
from demur.output import printable, write_json


def history_and_tell(registry: Registry, fleet: str, at: float | None, *, as_json: bool) -> None:
    """The history of a fleet, or what it served at one moment, as a table or JSON. Raises a RegistryError."""
    generations = list(registry.fleet(fleet).history())
    reports = registry.reports(fleet, {one.change.promotion for one in generations if one.change.promotion})
    if at is not None:
        then, standing = standing_at(generations, at)
        if as_json:
            write_json(_values_at(fleet, at, then, standing, reports))
        else:
            _tell_moment(fleet, at, then, standing, reports)
        return
    changes = list(alias_changes(generations))
    if as_json:
        write_json({"fleet": fleet, "generations": [_values(*one, reports) for one in changes]})
    elif not changes:
        print(f"fleet {fleet} has no record yet; `demur promote BUNDLE` writes the first")
    else:
        Console().print(_table(fleet, changes, reports))
        for promotion, place in reports.items():
            print(f"report of {promotion}: {printable(place)}")


def _tell_moment(
    fleet: str,
    at: float,
    then: Generation | None,
    standing: Sequence[AliasChange],
    reports: Mapping[str, str],
) -> None:
    if then is None:
        print(f"fleet {fleet} served nothing at {when(at)}: its first record is later")
        return
    print(f"fleet {fleet} at {when(at)}: generation {then.number}")
    for one in standing:
        change = one.change
        print(f"{one.alias}: {_pointed(one.now)}")
        print(
            f"  since {when(change.at)} (generation {one.generation}), by {change.by}: {change.reason or '-'}"
        )
        if change.promotion is not None:
            place = reports.get(change.promotion, "it has no report")
            print(f"  from promotion {change.promotion}: {printable(place)}")


def _table(
    fleet: str,
    changes: Sequence[tuple[Generation, list[AliasChange]]],
    reports: Mapping[str, str],
) -> Table:
    """One row per record, the latest last."""
    table = Table(title=escape(f"What {fleet} has served"))
    for column in ("generation", "since", "what", "by", "why", "promotion"):
        table.add_column(column, overflow="fold")
    for one, changed in changes:
        change = one.change
        what = "\n".join(_sentence(each) for each in changed) or _besides(one)
        row = (str(one.number), when(change.at), what, change.by, change.reason, change.promotion or "")
        table.add_row(*map(escape, row))
    return table


def _sentence(change: AliasChange) -> str:
    if change.now is None:
        return f"{change.alias}: nothing more, before {_pointed(change.before)}"
    before = "" if change.before is None else f", before {_pointed(change.before)}"
    return f"{change.alias}: {_pointed(change.now)}{before}"


def _besides(generation: Generation) -> str:
    """What a record is about that changes no alias."""
    if generation.promotion is not None:
        state = generation.promotion
        return f"promotion {state.id} of {state.newcomer.label}: {state.phase}, step {state.step}"
    if generation.next is not None:
        return f"every service prepares {generation.next.label}"
    return "no alias changes"


def _pointed(pointed: Pointed | None) -> str:
    if pointed is None:
        return "nothing"
    share = "" if pointed.share is None else f" at {100 * pointed.share:g} %"
    return f"{pointed.bundle.label} ({pointed.bundle.digest[:12]}){share}"


def _values(generation: Generation, changed: list[AliasChange], reports: Mapping[str, str]) -> dict[str, Any]:
    promotion = generation.change.promotion
    return {
        **generation.to_values(),
        "aliases": {alias: ref.digest for alias, ref in generation.aliases().items()},
        "changed": [one.to_values() for one in changed],
        "report": None if promotion is None else reports.get(promotion),
    }


def _values_at(
    fleet: str,
    at: float,
    then: Generation | None,
    standing: Sequence[AliasChange],
    reports: Mapping[str, str],
) -> dict[str, Any]:
    aliases = {
        one.alias: {
            "digest": one.now.bundle.digest,
            "label": one.now.bundle.label,
            "share": one.now.share,
            "generation": one.generation,
            "since": one.change.at,
            "by": one.change.by,
            "reason": one.change.reason,
            "promotion": one.change.promotion,
            "report": reports.get(one.change.promotion or ""),
        }
        for one in standing
        if one.now is not None
    }
    return {"fleet": fleet, "at": at, "generation": None if then is None else then.number, "aliases": aliases}
