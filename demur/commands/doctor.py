"""`demur doctor`: all probes of the installation, printed by topic."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from demur.doctor import installation, machine, surroundings
from demur.doctor.finding import Finding, Probe, Status, examine
from demur.output import printable, write_json

PROBES: Final = (
    Probe("demur", installation.python),
    Probe("extras", installation.extras),
    Probe("versions", installation.constraints),
    Probe("engines", installation.engines),
    Probe("GPU", machine.gpu),
    Probe("machine", machine.processor),
    Probe("memory", machine.memory),
    Probe("weights", installation.weights),
    Probe("hub", surroundings.hub),
    Probe("store", surroundings.store),
    Probe("folders", surroundings.folders),
    Probe("bundle", surroundings.bundle),
    Probe("variables", surroundings.variables),
)
_STYLES: Final[dict[Status, str]] = {
    "ok": "green",
    "note": "yellow",
    "missing": "yellow",
    "broken": "bold red",
}


def examine_installation(*, as_json: bool) -> bool:
    """Print all findings; whether nothing is broken."""
    findings = examine(PROBES)
    counts = Counter(one.status for one in findings)
    if as_json:
        found = [asdict(one) for one in findings]
        write_json({"works": not counts["broken"], "counts": dict(counts), "findings": found})
    else:
        Console().print(_table(findings))
        print(_verdict(counts))
    return not counts["broken"]


def _table(findings: tuple[Finding, ...]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    topic = ""
    for one in findings:
        style = _STYLES[one.status]
        said = escape(printable(one.text)) + (f"\n[dim]{escape(one.remedy)}[/dim]" if one.remedy else "")
        table.add_row("" if one.topic == topic else one.topic, f"[{style}]{one.status}[/{style}]", said)
        topic = one.topic
    return table


def _verdict(counts: Counter[Status]) -> str:
    if counts["broken"]:
        return f"To be mended: {counts['broken']} of {counts.total()} findings."
    optional = f"; optional and not installed: {counts['missing']}" if counts["missing"] else ""
    return f"demur works here{optional}."
