"""`demur registry push|pull|list`: bundles into a registry, out of it, and all that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bundle.registry.generation import CHAMPION, PREVIOUS, Generation
from bundle.registry.registry import Registry
from bundle.registry.shelf import Shelf
from bundle.signing.policy import policy_for
from demur.commands.fleet_place import FleetPlace
from demur.commands.registry_progress import size_text, transfer_bar
from demur.output import printable, write_json

_STYLES = {CHAMPION: "bold green", PREVIOUS: "yellow"}
_CHALLENGER = "cyan"


def push_and_tell(
    registry: Registry, folder: Path, by: str, keys: Sequence[Path], *, repair: bool, as_json: bool
) -> None:
    """Push a bundle, and say under which names it is there. Raises a BundleError and a RegistryError."""
    with transfer_bar(f"to {registry.address}") as on:
        ref = registry.push(folder, by, policy_for(keys), repair=repair, on=on)
    record = registry.bundle(ref.digest)
    if as_json:
        values = {"digest": ref.digest, "label": ref.label, "files": len(record.files), "bytes": record.size}
        write_json({"registry": registry.address, **values, "at": record.at, "by": record.by})
        return
    print(f"{ref.label} is in {printable(registry.address)}")
    print(f"{len(record.files)} files, {size_text(record.size)}, pushed {when(record.at)} by {record.by}")
    print(f"digest: {ref.digest}")


def pull_and_tell(place: FleetPlace, name: str, into: Path, keys: Sequence[Path], *, as_json: bool) -> None:
    """Pull a bundle, and print its folder. Raises a BundleError and a RegistryError."""
    registry = place.registry
    ref = registry.resolve(name, place.fleet)
    with transfer_bar(f"from {registry.address}") as on:
        folder = registry.pull(ref.digest, into, policy_for(keys), on=on)
    if as_json:
        write_json({"registry": registry.address, "digest": ref.digest, "label": ref.label, "folder": folder})
        return
    print(f"{ref.label}, verified, from {printable(registry.address)}")
    print(printable(str(folder)))


def list_and_tell(registry: Registry, *, as_json: bool) -> None:
    """Every bundle with its aliases, as a table or JSON. Raises a RegistryError."""
    shelf = registry.shelf()
    newest = {name: registry.fleet(name).newest() for name in registry.fleets()}
    if as_json:
        write_json(_values(registry.address, shelf, newest))
        return
    if shelf.records:
        Console().print(_table(registry.address, shelf, newest))
    else:
        print(f"{printable(registry.address)} holds no bundle; `demur registry push BUNDLE` puts one there")
    for digest, why in shelf.unreadable.items():
        print(f"{digest[:12]}: cannot be read: {why}")
    for digest in shelf.unfinished:
        print(f"{digest[:12]}: a push that goes on or was broken off; push it again, or leave it to gc")


def when(time: float) -> str:
    """A Unix time for people, in UTC."""
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"Unix time {time:g}"


def _table(address: str, shelf: Shelf, newest: dict[str, Generation | None]) -> Table:
    """One row per bundle, the latest last; what serves is coloured."""
    table = Table(title=escape(printable(address)))
    for column in ("bundle", "digest", "size", "pushed", "by", "serves as"):
        table.add_column(column, overflow="fold")
    for record in shelf.records:
        aliases = _aliases(record.digest, newest)
        marks = [
            f"[{_STYLES.get(alias, _CHALLENGER)}]{escape(f'{fleet}/{alias}{share}')}[/]"
            for fleet, alias, share in aliases
        ]
        row = (record.ref.label, record.digest[:12], size_text(record.size), when(record.at), record.by)
        table.add_row(*map(escape, row), "\n".join(marks))
    return table


def _aliases(digest: str, newest: dict[str, Generation | None]) -> list[tuple[str, str, str]]:
    """Fleet, alias and share of everything that points at a bundle."""
    found = []
    for fleet, generation in newest.items():
        if generation is None:
            continue
        shares = {f"challenger-{one.name}": _share(one.share) for one in generation.challengers}
        for alias, ref in generation.aliases().items():
            if ref.digest == digest:
                found.append((fleet, alias, shares.get(alias, "")))
        if generation.next is not None and generation.next.digest == digest:
            found.append((fleet, "next", ""))
    return found


def _share(share: float | None) -> str:
    return " (shadow)" if share is None else f" ({100 * share:g} %)"


def _values(address: str, shelf: Shelf, newest: dict[str, Generation | None]) -> dict[str, Any]:
    return {
        "registry": address,
        "bundles": [
            {
                "digest": one.digest,
                "label": one.ref.label,
                "bytes": one.size,
                "at": one.at,
                "by": one.by,
                "aliases": [f"{fleet}/{alias}" for fleet, alias, _ in _aliases(one.digest, newest)],
            }
            for one in shelf.records
        ],
        "unreadable": dict(shelf.unreadable),
        "unfinished": list(shelf.unfinished),
        "fleets": {
            fleet: {
                "generation": None if one is None else one.number,
                "aliases": {} if one is None else {alias: ref.digest for alias, ref in one.aliases().items()},
            }
            for fleet, one in newest.items()
        },
    }
