"""The data report as tables in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trainer.data.group_questions import pairs_sentence
from trainer.data.grouping import UNUSED
from trainer.data.report import DataReport


def print_report(report: DataReport, console: Console | None = None) -> None:
    """Print the whole report, with the findings last."""
    (console or Console()).print(render(report))


def render(report: DataReport) -> Group:
    """The report as one rich renderable."""
    parts: list[RenderableType] = [Text(report.source, style="bold"), Text(_headline(report)), Text()]
    if report.splits:
        parts += [_splits(report), *([Text(report.mapping)] if report.mapping else []), Text()]
    if report.slices:
        parts += [_slices(report), Text()]
    parts.append(_copies(report))
    findings = list(_findings(report))
    parts.append(Text())
    parts.append(
        Text(f"Findings: {len(findings)}", style="bold yellow")
        if findings
        else Text("No findings.", style="green")
    )
    parts += [Padding(finding, (0, 0, 0, 2)) for finding in findings]
    return Group(*parts)


def _headline(report: DataReport) -> str:
    text = f"{report.images:,} images"
    if report.class_names:
        text += ": " + ", ".join(_shares(report.class_names, report.per_class, report.images))
    if report.groups is not None:
        groups = report.groups
        text += (
            f"\n{groups.groups:,} groups by {groups.column} of {groups.smallest} to {groups.largest} images, "
            f"median {groups.median:g}"
        )
        if report.class_names:
            held = zip(report.class_names, groups.per_class, strict=True)
            text += "; " + ", ".join(f"{count:,} hold {name}" for name, count in held)
    return text


def _shares(names: Sequence[str], counts: Sequence[int], total: int) -> list[str]:
    return [
        f"{name} {count:,} ({100 * count / max(1, total):.1f} %)"
        for name, count in zip(names, counts, strict=True)
    ]


def _splits(report: DataReport) -> Table:
    unit = "images" if report.groups is None else "groups"
    title = "Splits by folder" if report.mapping else "Splits by default"
    table = _table(title, "split", *(["groups"] if unit == "groups" else []), "images", *report.class_names)
    for split in report.splits:
        cells = [f"{split.units:,}"] if unit == "groups" else []
        table.add_row(split.name, *cells, f"{split.images:,}", *(f"{count:,}" for count in split.per_class))
    return table


def _slices(report: DataReport) -> Table:
    table = _table("Class balance by slice", "column", "value", "images", *report.class_names)
    before = None
    for part in report.slices:
        if before not in (None, part.column):
            table.add_section()
        shares = (f"{100 * count / max(1, part.images):.1f} %" for count in part.per_class)
        table.add_row("" if part.column == before else part.column, part.value, f"{part.images:,}", *shares)
        before = part.column
    return table


def _copies(report: DataReport) -> Table:
    copies = report.copies
    where = "anywhere" if report.groups is None else "in another group"
    table = _table("Copies", "kind", "images", "examples")
    table.add_row(
        "equal files beyond the first", f"{copies.exact_images:,}", "\n".join(copies.exact_examples)
    )
    table.add_row(f"with a near-copy {where}", f"{copies.near_images:,}", "\n".join(copies.near_examples))
    if report.splits:
        table.add_row("with a near-copy in another split", f"{copies.near_across_splits:,}", "")
    return table


def _findings(report: DataReport) -> Iterator[RenderableType]:
    for question in report.questions:
        yield Text(question.sentence(), style="yellow")
    for sign in report.signs:
        yield Text(sign, style="yellow")
    if pairs := pairs_sentence(report.questions):
        yield Text(pairs, style="yellow")
    if report.questions:
        yield Text("if every image stands alone, answer with --group none", style="yellow")
    for notice in report.notices:
        if notice.code == UNUSED and report.questions:
            continue
        yield Text(notice.message, style="yellow" if notice.level == "warning" else "dim")
    for fault in report.faults:
        style = {"blocks": "bold red", "drops": "red", "omits": "yellow", "warns": "yellow"}[fault.severity]
        yield Text("\n".join([fault.message, *(f"    {example}" for example in fault.examples)]), style=style)
    for leak in report.leaks:
        how = "by its value" if leak.by == "value" else "by being there or not"
        refused = "; it is never used" if leak.refused else ""
        yield Text(
            f"the column {leak.column!r} gives the label away {how} (informedness {leak.informedness:.2f}): "
            f"{leak.detail}{refused}",
            style="yellow",
        )
    copies = report.copies
    if copies.near_neighbours:
        yield Text(
            f"near-copies with neighbouring names, as in a burst: {copies.near_neighbours} (for example "
            f"{copies.neighbour_example}); name their series with --group",
            style="yellow",
        )
    if copies.near_across_splits:
        yield Text(
            f"images with a near-copy in another split: {copies.near_across_splits}; there a model is "
            "judged on what is not new to it",
            style="yellow",
        )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", pad_edge=False)
    for index, column in enumerate(columns):
        numeric = index > 0 and column not in ("value", "examples")
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    return table
