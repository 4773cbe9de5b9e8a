"""Sentence: what the monitor of a bundle says, for people, with every doubt that belongs to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from calibration.certificate import EACH_ANSWER
from monitoring.promise.items import NO_PART
from monitoring.promise.latch import Alarm, BundleLatch
from monitoring.promise.reading import Reading
from monitoring.promise.terms import PromiseTerms, WatchOptions

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_TOLERATED: Final = 0.1
"""Share of audits that may never come back without a second figure"""


def monitor_sentence(
    terms: PromiseTerms,
    options: WatchOptions,
    reading: Reading | None,
    latch: BundleLatch,
    *,
    open_labels: bool = False,
    suspended: bool = False,
) -> str:
    """One or a few sentences on the promise of a bundle.

    `reading`: None before the store has answered; `open_labels`: anybody may send labels; `suspended`: the
    bundle abstains on everything.
    """
    if not terms.answers:
        return _nothing_promised(terms)
    parts = [_verdict(terms, options, reading, latch)]
    if suspended:
        parts.append("It abstains on every image until somebody resets it.")
    parts += _warnings(terms, reading, latch)
    parts += _doubts(terms, options, reading, latch, open_labels=open_labels)
    return " ".join(parts)


def _nothing_promised(terms: PromiseTerms) -> str:
    if terms.standing == "infeasible":
        return f"Nothing is watched: no promise could be certified, so nothing is answered ({terms.why})."
    return f"Nothing is watched: nothing is promised here ({terms.why})."


def _verdict(terms: PromiseTerms, options: WatchOptions, reading: Reading | None, latch: BundleLatch) -> str:
    broken = latch.alarm("broken")
    if broken is not None:
        return _broken(terms, reading, broken)
    if options.share == 0.0:
        return "Nothing says whether the promise holds: no audits are drawn (DEMUR_AUDIT_SHARE is 0)."
    if reading is None:
        return "The monitor of the promise has not reached the store yet."
    if not reading.audits:
        waiting = f"; {_audits(reading.waiting)} for one" if reading.waiting else ""
        return f"Nothing says yet whether the promise holds: no audited answer has a label{waiting}."
    if terms.standing == "in expectation":
        return (
            "The guarantee is an average over calibration draws, so no single bundle can break it; "
            f"over {_seen(reading)}, {_risk(reading)}."
        )
    return f"The promise has held over {_seen(reading)}; {_risk(reading)}."


def _broken(terms: PromiseTerms, reading: Reading | None, alarm: Alarm) -> str:
    now = "" if reading is None or not reading.audits else f"; over {_seen(reading)}, {_risk(reading)}"
    return (
        f"The promise is broken: since {_date(alarm.at)} more than {_percent(terms.alpha or 0.0)} % of the "
        f"answers{_in_part(terms, alarm.part)} have been wrong, by an e-value of {_evidence(alarm.e_value)} "
        f"(alarm at {terms.threshold('broken'):g}){now}."
    )


def _seen(reading: Reading) -> str:
    since = "" if reading.since is None else f" since {_date(reading.since)}"
    return f"{reading.audits:,} audited answer{'s' if reading.audits != 1 else ''}{since}"


def _risk(reading: Reading) -> str:
    """The interval; where labels are missing, what they count as."""
    counted_wrong = _between(reading.risk)
    if not reading.missing or reading.risk_of_labelled is None:
        return f"with 95 % confidence the risk is {counted_wrong}"
    if reading.missing_share <= _TOLERATED:
        return (
            f"with 95 % confidence the risk is {counted_wrong}, where {reading.missing:,} labels that never "
            "came count as wrong"
        )
    return (
        f"with 95 % confidence the risk is {_between(reading.risk_of_labelled)} by the labels that came; "
        f"{reading.missing:,} of the audits ({100 * reading.missing_share:.0f} %) never came back, and with "
        f"these counted as wrong it is {counted_wrong}"
    )


def _warnings(terms: PromiseTerms, reading: Reading | None, latch: BundleLatch) -> Iterator[str]:
    worse, coverage = latch.alarm("worse"), latch.alarm("coverage")
    tested = {one.signal: one.tested for one in (reading.signals if reading is not None else ())}
    if worse is not None:
        risk = f" ({_percent(tested['worse'])} %)" if "worse" in tested else ""
        yield (
            f"Warning: since {_date(worse.at)} the risk{_in_part(terms, worse.part)} has been above that of "
            f"this bundle's own beginning{risk}."
        )
    if coverage is not None:
        now = "" if reading is None else f"; of {reading.decided:,} images {reading.answered:,} were answered"
        yield (
            f"Warning: since {_date(coverage.at)} fewer images have been answered than the certificate "
            f"proves ({_percent(terms.coverage or 0.0)} %){now}."
        )


def _doubts(
    terms: PromiseTerms,
    options: WatchOptions,
    reading: Reading | None,
    latch: BundleLatch,
    *,
    open_labels: bool,
) -> Iterator[str]:
    if reading is not None and reading.held_at is not None:
        yield (
            f"The monitor holds before an answer of {_date(reading.held_at)}, whose label never came "
            "(DEMUR_MISSING_AUDITS is hold); a reset lets it begin anew."
        )
    if terms.each not in (None, EACH_ANSWER) and options.share > 0.0:
        yield f"Only answers whose X-Slice names their {terms.each} are watched."
    if reading is not None and reading.images and not reading.with_units:
        yield "No unit ids come, so the images are assumed to be independent."
    if open_labels and options.share > 0.0:
        untrusted = latch.alarm("broken") is not None and not latch.suspends
        yield "Labels are open: anybody who reaches the port may send them" + (
            ", so nothing was done by itself." if untrusted else "."
        )


def _in_part(terms: PromiseTerms, part: str) -> str:
    if part == NO_PART:
        return ""
    return f" {part!r}" if terms.each == EACH_ANSWER else f" with {terms.each} {part!r}"


def _audits(count: int) -> str:
    return f"{count:,} audit{'s wait' if count != 1 else ' waits'}"


def _between(interval: tuple[float, float]) -> str:
    return f"between {_percent(interval[0])} and {_percent(interval[1])} %"


def _percent(share: float) -> str:
    """Two digits that count: .2, .95, 12."""
    return f"{float(f'{100 * share:.2g}'):g}"


def _evidence(e_value: float) -> str:
    return "more than a million" if e_value > 1e6 else f"{float(f'{e_value:.3g}'):,g}"


def _date(at: float) -> str:
    day = datetime.fromtimestamp(at, UTC)
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
