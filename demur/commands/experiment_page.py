"""The page of an experiment's report, in Markdown: the conclusion first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from calibration.experiments.analysis import Analysis, ArmAnalysis
from calibration.experiments.comparison import Comparison
from calibration.experiments.sample_ratio import LEVEL as RATIO_LEVEL
from calibration.experiments.sample_ratio import SampleRatio
from calibration.experiments.shadow_pairs import PairedComparison
from demur.commands.experiment_reading import ExperimentReading


def page_lines(reading: ExperimentReading, pictures: Sequence[Path]) -> Iterator[str]:
    """The page, in Markdown. `pictures`: files in the folder of the page."""
    definition = reading.definition
    yield f"# Experiment {definition.name}"
    yield ""
    for arm in reading.analysis.arms:
        yield f"**{headline(reading, arm)}**"
        yield ""
    state = "running" if definition.ended is None else f"ended on {_date(definition.ended.at)}"
    yield (
        f"Control: {definition.control.label}. Started on {_date(definition.started.at)} by "
        f"{definition.started.by} ({definition.started.reason}); {reading.days:.1f} days read, {state}."
    )
    for arm in reading.analysis.arms:
        yield from _arm_section(reading, arm)
    yield from _ratio_section(reading.analysis.ratio)
    yield from _change_section(reading)
    if pictures:
        yield from ("", "## Pictures")
        for path in pictures:
            yield from ("", f"![{path.stem.replace('-', ' ')}]({path.name})")
    yield from _reading_section(reading.analysis)


def headline(reading: ExperimentReading, arm: ArmAnalysis) -> str:
    """The conclusion of one challenger in a sentence."""
    analysis, control = reading.analysis, reading.definition.control.label
    if analysis.blocked:
        return (
            f"No conclusion on {arm.arm}: the arms do not have the designed shares of the units, so "
            "something in the dealing, the logging or the traffic is broken."
        )
    found = [figure.comparison for figure in arm.figures]
    better = [one for one in found if one.conclusion == "better"]
    worse = [one for one in found if one.conclusion == "worse"]
    if better and worse:
        return f"{arm.arm} is better than {control} in {_listed(better)}, and worse in {_listed(worse)}."
    if better or worse:
        word = "better" if better else "worse"
        return f"{arm.arm} is {word} than {control} in {_listed(better or worse)}."
    if all(one.difference is None for one in found) and arm.shadow is not None:
        return f"{arm.arm} has not answered a request yet. {shadow_sentence(arm.arm, arm.shadow)}"
    if arm.conclusion == "none":
        return f"{arm.arm} and {control} do not differ by anything that matters."
    return f"Inconclusive: it cannot be said yet whether {arm.arm} is better or worse than {control}."


def _arm_section(reading: ExperimentReading, arm: ArmAnalysis) -> Iterator[str]:
    yield from ("", f"## {arm.arm} against the control", "")
    yield "Readable at every step (anytime-valid), and concluded over all metrics and challengers by Holm:"
    yield ""
    yield from _table(arm)
    once = next(one for one in reading.once.arms if one.arm == arm.arm)
    yield from ("", "If this was the one look that was planned before the start (fixed horizon):", "")
    yield from _table(once)
    yield from ("", "What these figures stand on:", "")
    yield "| metric | units of the control | units | requests of the control | requests | strata | why |"
    yield "|---|---|---|---|---|---|---|"
    for one in (figure.comparison for figure in arm.figures):
        yield (
            f"| {one.metric} | {one.units[0]:,} | {one.units[1]:,} | {one.requests[0]:,} | "
            f"{one.requests[1]:,} | {one.strata} | {one.reason} |"
        )
    yield from ("", arm.labels.sentence())
    if arm.labels.comparable is False:
        yield "Accuracy, MCC and reward of the arms cannot be compared; coverage, and risk by audits, can."
    if arm.shadow is not None:
        yield from ("", shadow_sentence(arm.arm, arm.shadow))
    yield from _needed_section(reading, arm)


def _table(arm: ArmAnalysis) -> Iterator[str]:
    yield "| metric | control | challenger | difference | 95 % interval | p, by Holm | conclusion |"
    yield "|---|---|---|---|---|---|---|"
    for figure in arm.figures:
        one = figure.comparison
        if one.difference is None or one.low is None or one.high is None:
            yield f"| {one.metric} | - | - | - | - | - | **{one.conclusion}** |"
            continue
        yield (
            f"| {one.metric} | {one.control:.4f} | {one.challenger:.4f} | {one.difference:+.4f} | "
            f"{one.low:+.4f} to {one.high:+.4f} | {figure.adjusted_p_value:.2g} | **{one.conclusion}** |"
        )


def _needed_section(reading: ExperimentReading, arm: ArmAnalysis) -> Iterator[str]:
    open_figures = [one.comparison for one in arm.figures if one.comparison.conclusion == "inconclusive"]
    if not open_figures:
        return
    if reading.analysis.blocked:
        yield ""
        yield (
            "More units help nothing before the cause of the mismatch is found and mended: compare the units "
            "that were dealt with those whose requests are in the log, then start another experiment."
        )
        return
    if arm.labels.comparable is False:
        yield from (
            "",
            "More units help the metrics of labels only if both arms get as many labels.",
        )
    yield from ("", "What is still needed, with a chance of 90 % and at the present traffic and shares:", "")
    for one in open_figures:
        days = reading.needed[arm.arm, one.metric]
        what = f"a difference of {one.margin:g} in {one.metric}"
        if not math.isfinite(days):
            yield f"- {what}: there are too few new units, labels or audits to say when."
        elif days <= reading.days:
            yield f"- {what}: it would have been found by now."
        else:
            yield f"- {what}: about {days - reading.days:,.1f} days more, read at every step."


def _ratio_section(ratio: SampleRatio) -> Iterator[str]:
    verdict = "**Mismatch: no conclusion is allowed**" if ratio.mismatch else "As designed"
    yield from ("", "## Sample ratio", "")
    yield (
        f"{verdict}. Highest e-value after any unit: {_short(ratio.highest)}; a "
        f"mismatch is called at {1.0 / RATIO_LEVEL:,.0f}. A unit counts in the stratum in which it was first "
        "seen."
    )
    yield ""
    yield f"| stratum | {' | '.join(f'units of {arm} (designed)' for arm in ratio.arms)} | e-value |"
    yield f"|{'---|' * (len(ratio.arms) + 2)}"
    for one in ratio.strata:
        cells = (
            f"{units:,} ({100 * share:.1f} %)" for units, share in zip(one.units, one.designed, strict=True)
        )
        yield f"| {one.stratum} | {' | '.join(cells)} | {_short(one.e_value)} |"


def _change_section(reading: ExperimentReading) -> Iterator[str]:
    definition = reading.definition
    yield from ("", "## Changes", "", "| stratum | since | shares | by | reason |", "|---|---|---|---|---|")
    for number, stratum in enumerate(definition.strata):
        shares = ", ".join(f"{arm} {100 * share:g} %" for arm, share in stratum.shares.items()) or "none"
        note = stratum.note
        yield f"| {number} | {_date(note.at)} | {shares} | {note.by} | {note.reason} |"
    for one in definition.withdrawals:
        yield from (
            "",
            f"{one.arm} was withdrawn on {_date(one.note.at)} by {one.note.by}: {one.note.reason}.",
        )


def _reading_section(analysis: Analysis) -> Iterator[str]:
    yield from ("", "## How to read this", "")
    yield (
        "Differences are challenger minus control, by stratum, with all requests of a unit as one cluster; "
        "risk is that of the answers, from audits alone. *Anytime-valid* intervals may be read as often as "
        "one likes; *fixed-horizon* ones hold for one look at a moment that was chosen before the start. In "
        f"both, at most {100 * analysis.level:g} % of experiments without a difference end in better or "
        "worse. *none*: the whole interval is within what does not matter. *inconclusive*: neither can be "
        "said, which is not a pass."
    )


def shadow_sentence(arm: str, pairs: PairedComparison) -> str:
    if pairs.difference is None:
        return f"As a shadow {arm} has seen no request whose label is known."
    return (
        f"As a shadow {arm} has decided {pairs.pairs:,} labelled requests of {pairs.units:,} units beside "
        f"the control: it alone was right {pairs.only_shadow:,} times, the control alone "
        f"{pairs.only_control:,} times; difference of accuracy {pairs.difference:+.4f} ({pairs.low:+.4f} to "
        f"{pairs.high:+.4f}), exact McNemar test by unit, for one look: p = {pairs.p_value:.2g}."
    )


def _listed(found: Sequence[Comparison]) -> str:
    each = [f"{one.metric} by {one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f})" for one in found]
    return each[0] if len(each) == 1 else f"{', '.join(each[:-1])} and {each[-1]}"


def _short(value: float) -> str:
    return "infinite" if math.isinf(value) else f"{value:,.3g}"


def _date(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
