"""Pages of docs/measurements/, made from the records: one screen of claims, and a page per subject."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.figures import markdown
from harness.record import PAGES, RECORDS, Claim, Record, RecordError

REMARKS = "remarks"
"""Folder of what was learned, one NAME.md per measurement; they are written by hand and outlive a record."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its title, what holds for all its measurements, and the order of their names."""

    title: str
    intro: str
    names: tuple[str, ...]


PAGE: Mapping[str, Page] = {
    "promise": Page(
        "Measured: the promise",
        "How often certificates break their promise, how much they let a model answer, and what they cost. "
        "The simulations are the slow tests of `tests/statistics/`; `DEMUR_SLOW=1 "
        "DEMUR_RECORD=docs/measurements pytest -m slow tests/statistics` writes all of their records.",
        (
            "validity",
            "power",
            "cascade-power",
            "group-betting",
            "coverage-bound",
            "prevalence",
            "prevalence-found",
            "prevalence-mixture",
            "look-ahead",
            "e-detector",
            "drift",
            "worse",
            "monitors",
            "monitor-cost",
            "drift-validity",
            "experiments",
            "experiments-worlds",
            "experiments-power",
            "promotion-gates",
            "sample-ratio",
            "canary-risk",
            "canary-equal",
            "hints",
            "scrc",
            "plan-on-real-scores",
            "certify-speed",
            "augrc-speed",
            "scrc-decision-speed",
        ),
    ),
    "training": Page(
        "Measured: training",
        "Whole runs on real photographs, what pretrained weights and pretraining bring, and speed. Data sets "
        "are named by file; none is part of the repository.",
        (
            "first-steps",
            "first-hour",
            "demo",
            "cats-dogs",
            "road-signs",
            "imagenet-weights",
            "adaptation-methods",
            "explora",
            "training-throughput",
            "busy-neighbour",
            "busy-run",
        ),
    ),
    "serving": Page(
        "Measured: serving",
        "On two cores: the server has one to itself, the load generator the other. *Raw* is the same decode "
        "and session in a plain loop in one process, measured just before each run. *Efficiency* is raw CPU "
        "milliseconds per image over the server's CPU milliseconds per request, with all its processes and "
        "the store's counted. demur runs with everything observable on: log, metrics, events into its "
        "Valkey. Runs are interleaved and each starts its server again; figures are medians with the "
        "smallest and largest run. Models have random weights, on which speed does not depend; pictures are "
        "synthetic and have the bytes of photographs.",
        (
            "serving",
            "serving-time",
            "serving-workers",
            "serving-cascade",
            "labels",
            "decode",
            "rolling-read",
            "signatures",
            "request-cost",
            "watching-cost",
            "footprint",
            "image",
        ),
    ),
    "robustness": Page(
        "Measured: robustness",
        "What load, changes, stops, kills and hostile clients do to the service. A request that was accepted "
        "and then dropped, or an event that was not counted, is a fault.",
        (
            "full-load",
            "bundle-changes",
            "fleet-rollback",
            "promotion-kills",
            "promotion-steps",
            "fleet-writers",
            "stops",
            "stops-beside-others",
            "worker-kills",
            "alert-kills",
            "alert-delay",
            "faults",
            "event-memory",
            "worker-metrics",
            "hostile",
        ),
    ),
}


def read_records(folder: Path) -> dict[str, Record]:
    """All records below `folder`, by name. Raises RecordError for one that no page has a place for."""
    records = {path.stem: Record.read(path) for path in sorted((folder / RECORDS).glob("*.json"))}
    for record in records.values():
        if record.name not in PAGE[record.page].names:
            raise RecordError(
                f"{record.name} has no place on the page {record.page!r}; add its name to harness/pages.py"
            )
    return records


def make_pages(folder: Path) -> dict[str, str]:
    """File name -> text of README.md and of each page."""
    records = read_records(folder)
    remarks = {path.stem: path.read_text("utf-8").strip() for path in (folder / REMARKS).glob("*.md")}
    pages = {"README.md": _overview(records)}
    for name in PAGES:
        pages[f"{name}.md"] = _page(PAGE[name], records, remarks)
    return pages


def write_pages(folder: Path) -> None:
    """Write README.md and the pages into `folder`."""
    for name, text in make_pages(folder).items():
        (folder / name).write_text(text, encoding="utf-8")


def slug(title: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _overview(records: Mapping[str, Record]) -> str:
    rows = [
        [
            claim.claim,
            claim.target,
            claim.value,
            _verdict(claim),
            record.date,
            _program(record.command),
            f"[{record.page}]({record.page}.md#{slug(record.title)})",
        ]
        for record in _in_order(records)
        for claim in record.claims
        if claim.target
    ]
    return "\n".join(
        (
            "# Measurements",
            "",
            "Each claim that has a target, with what was measured, when, and by which script, test or verb. "
            "The pages [promise](promise.md), [training](training.md), [serving](serving.md) and "
            "[robustness](robustness.md) hold whole commands, further figures, tables and the raw output. "
            "All of it is made by `python benchmarks/pages.py` from `records/`, which "
            "[benchmarks](../../benchmarks/README.md) write with `--record` and slow tests with "
            "`DEMUR_RECORD=docs/measurements`, and from `remarks/`, which outlive a record. `make "
            "measurements` repeats what takes less than two minutes.",
            "",
            markdown(["claim", "target", "measured", "", "date", "by", "detail"], rows),
        )
    )


def _page(page: Page, records: Mapping[str, Record], remarks: Mapping[str, str]) -> str:
    parts = [f"# {page.title}", page.intro, "[All claims on one screen](README.md)"]
    for name in page.names:
        if name in records:
            parts += _section(records[name], remarks.get(name, ""))
    return "\n\n".join(parts) + "\n"


def _section(record: Record, remark: str) -> Sequence[str]:
    command = f"`{record.command}`" if record.command else "No single command repeats this."
    parts = [
        f"## {record.title}",
        record.about,
        f"{command}<br>{record.date}, {record.machine}; [raw output]({RECORDS}/{record.name}.txt).",
    ]
    if record.claims:
        rows = [[claim.claim, claim.target or "-", claim.value, _verdict(claim)] for claim in record.claims]
        parts.append(markdown(["claim", "target", "measured", ""], rows).rstrip())
    parts += [record.detail, remark]
    return [part for part in parts if part]


def _in_order(records: Mapping[str, Record]) -> Iterable[Record]:
    return (records[name] for page in PAGES for name in PAGE[page].names if name in records)


def _program(command: str) -> str:
    """Script, test or verb of a command; the page has the whole command."""
    words = [word for word in command.split() if not word[0].isupper()]
    if not words:
        return "-"
    script = next((word for word in words if word.endswith(".py")), " ".join(words[:2]))
    return f"`{script.rpartition('/')[2]}`"


def _verdict(claim: Claim) -> str:
    return "" if claim.met is None else "met" if claim.met else "**missed**"
