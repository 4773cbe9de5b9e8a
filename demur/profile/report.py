"""Report of a profile: tables and sentences for the terminal, JSON, CSV and a picture."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import orjson
from rich.console import Group
from rich.table import Table

from demur.profile.figures import Profile, Repeated

PICTURE = "profile.png"


def write_profile(profile: Profile, folder: Path) -> list[Path]:
    """Write profile.json, profile.csv and, if matplotlib is installed, profile.png; the paths written."""
    written = [folder / "profile.json", folder / "profile.csv"]
    written[0].write_bytes(orjson.dumps(profile.to_dict(), option=orjson.OPT_INDENT_2) + b"\n")
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("figure", "value", "low", "high", "unit"))
    table.writerows(profile.rows())
    written[1].write_text(text.getvalue(), "utf-8")
    if find_spec("matplotlib") is not None:
        written.append(folder / PICTURE)
        _draw(profile, written[-1])
    return written


def profile_tables(profile: Profile) -> Group:
    """Tables of latency per step and of throughput."""
    return Group(_latency_table(profile), _throughput_table(profile))


def summary(profile: Profile) -> list[str]:
    """Findings, one sentence each."""
    through = profile.throughput
    found = [
        f"Computed on {profile.choice}.",
        f"{through.clients} clients get {through.served_images_per_second.median:,.1f} answers per second; "
        f"{through.processes} plain loops do {through.raw_images_per_second.median:,.1f}: "
        f"{100 * through.share_of_raw.median:.0f} % of the raw limit, with the clients on the same cores.",
    ]
    if through.overhead_cpu_ms is not None and through.served_cpu_ms is not None:
        found.append(
            f"A request takes {through.served_cpu_ms.median:.2f} ms of CPU, the plain loop "
            f"{through.raw_cpu_ms.median:.2f} ms: HTTP, queue, metrics, log and events cost "
            f"{through.overhead_cpu_ms:.2f} ms."
        )
    if profile.cascade is not None:
        cascade = profile.cascade
        basis = f"on these {cascade.images} images" if cascade.images else "by the bundle's own report"
        macs = "" if cascade.macs_saved is None else f" and {_saved(cascade.macs_saved)} arithmetic"
        found.append(
            f"Stage A answers {100 * cascade.answered_by_a:.0f} % ({basis}): "
            f"{_saved(cascade.time_saved)} time{macs} than stage B alone."
        )
    return found


def _saved(share: float) -> str:
    return f"{100 * abs(share):.0f} % {'less' if share >= 0 else 'more'}"


def _latency_table(profile: Profile) -> Table:
    table = Table(
        title=f"Milliseconds by step: {profile.bundle} on {profile.engine}",
        caption=profile.images,
    )
    table.add_column("step", overflow="fold")
    for column in ("p50", "p95", "p99", "samples"):
        table.add_column(column, justify="right", overflow="fold")
    for latency in profile.latencies:
        tail = (_short(latency.p95.median), _short(latency.p99.median))
        table.add_row(latency.step, _with_range(latency.p50), *tail, f"{latency.samples:,}")
    return table


def _throughput_table(profile: Profile) -> Table:
    through, memory = profile.throughput, profile.memory
    table = Table(
        title=f"At full load: {through.processes} processes, {through.clients} clients",
        caption="median (smallest to largest of the runs)",
    )
    table.add_column("figure", overflow="fold")
    table.add_column("plain loops", justify="right", overflow="fold")
    table.add_column("service", justify="right", overflow="fold")
    table.add_row(
        "images per second",
        _with_range(through.raw_images_per_second),
        _with_range(through.served_images_per_second),
    )
    served_cpu = "-" if through.served_cpu_ms is None else _with_range(through.served_cpu_ms)
    table.add_row("CPU ms per image", _with_range(through.raw_cpu_ms), served_cpu)
    resident = " + ".join(f"{size:,.0f}" for size in memory.service_processes) or "-"
    table.add_row("resident MB", f"{memory.raw_process:,.0f} each", resident)
    return table


def _with_range(value: Repeated) -> str:
    shown = f"{_short(value.median)}"
    return shown if value.runs < 2 else f"{shown} ({_short(value.low)} to {_short(value.high)})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _draw(profile: Profile, path: Path) -> None:
    from trainer.reports.pictures import BLUE, GREY, ORANGE, figure_on

    with figure_on(path, (10.0, 4.4)) as figure:
        steps, rates = figure.subplots(1, 2, width_ratios=(3, 2))
        shown = profile.latencies[::-1]
        rows = range(len(shown))
        for row, latency in zip(rows, shown, strict=True):
            steps.plot((latency.p50.median, latency.p99.median), (row, row), color=GREY, linewidth=1.2)
            steps.annotate(
                _short(latency.p50.median),
                (latency.p50.median, row),
                (0, 7),
                textcoords="offset points",
                ha="center",
            )
        for name, marker, colour in (("p50", "o", BLUE), ("p95", "|", GREY), ("p99", "D", ORANGE)):
            values = [getattr(latency, name).median for latency in shown]
            steps.plot(values, rows, marker, color=colour, markersize=8, label=name, zorder=3)
        steps.set_xscale("log")
        steps.set_yticks(rows, [latency.step for latency in shown])
        steps.set_xlabel("milliseconds (logarithmic)")
        steps.set_title("Where the time goes")
        steps.legend(loc="lower left", bbox_to_anchor=(0.6, -0.25), ncols=3)
        steps.grid(axis="y", visible=False)
        through = profile.throughput
        figures = (through.raw_images_per_second, through.served_images_per_second)
        rates.bar(("plain loops", "service"), [f.median for f in figures], color=(GREY, BLUE), width=0.55)
        for place, value in enumerate(figures):
            rates.plot([place, place], [value.low, value.high], color="black", linewidth=1.2)
            rates.annotate(
                f"{value.median:,.0f}", (place, value.high), (0, 4), textcoords="offset points", ha="center"
            )
        rates.set_ylabel("images per second")
        rates.set_title(f"{100 * through.share_of_raw.median:.0f} % of the raw limit")
        rates.margins(y=0.15)
        rates.grid(axis="x", visible=False)
        figure.suptitle(
            f"{profile.bundle} on {profile.engine}, {through.processes} processes, {profile.cores} cores",
            fontsize=10,
            color=GREY,
        )
