"""The canary of a promotion: a bad newcomer leaves soon, one that is as good as the champion seldom does.

Guardrails and *broken* watch the newcomer side by side, as in the service: the guardrails at each look on the
rows of all requests, *broken* at each audit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from harness.record import Claim, Recording
from scipy import stats

from calibration import EDetector
from calibration.scores import BoolArray
from monitoring.experiments.changes import PROMOTION_GUARDRAILS, Design, Entrant, started, with_share
from monitoring.experiments.definition import Arm, Definition, Guardrails, Note
from monitoring.experiments.guardrails import guard_readings
from monitoring.experiments.unit_columns import COUNTS, SUMS, UnitColumns
from monitoring.promise.terms import DELTA

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

ALPHA, AUDITED = 0.01, 0.1
CONTROL, NEWCOMER = Arm("one:1", "one"), Arm("two:1", "two")
NOTE = Note(0.0, "Ada", "a promotion")
RAMP = (0.05, 0.25, 0.5)
"""Shares of the newcomer in the steps of a promotion"""
MOST_AUDITS = 5_000
"""Of the newcomer in one promotion, for which the level is split between guardrails and *broken*"""
BROKEN = DELTA * (0.6 + 0.4 * MOST_AUDITS / 20_000)
"""Share of newcomers at exactly alpha of which so many audits say that the promise is broken"""


@dataclass(frozen=True)
class Bundle:
    """How a bundle behaves: shares of its requests, and of its answers."""

    risk: float
    answers: float = 0.8
    fails: float = 0.002
    slow: float = 0.02


@dataclass(frozen=True)
class Left:
    """How a promotion ended for the newcomer."""

    why: str | None
    """A guardrail, `broken`, or None if it stayed"""
    audits: int
    """Of the newcomer, with their label"""


def rows(
    rng: np.random.Generator, requests: int, share: float, stratum: int, arms: tuple[Bundle, Bundle]
) -> UnitColumns:
    """Requests, each a unit of its own, all audits with their label."""
    arm = (rng.random(requests) < share).astype(np.int64)

    def drawn(name: str, of: BoolArray) -> BoolArray:
        chances = np.array([getattr(one, name) for one in arms])
        return np.asarray(of & (rng.random(requests) < chances[arm]))

    failed = drawn("fails", np.ones(requests, np.bool_))
    answered = drawn("answers", ~failed)
    audits = answered & (rng.random(requests) < AUDITED)
    wrong, slow = drawn("risk", audits), drawn("slow", ~failed)
    counts = {"arm": arm, "stratum": np.full(requests, stratum), "requests": ~failed, "answered": answered}
    counts |= {"audits": audits, "timed": ~failed, "slow": slow, "failed": failed}
    weights = {"audited": audits / AUDITED, "audited_wrong": wrong / AUDITED}
    weights |= {"right_0": audits & ~wrong, "wrong_0": wrong}
    none = np.zeros(requests)
    return UnitColumns(
        rng.integers(-(2**62), 2**62, requests),
        {name: counts[name].astype(np.int64) for name in COUNTS},
        {name: np.asarray(weights.get(name, none), np.float64) for name in SUMS},
    )


def held(shares: tuple[float, ...], guardrails: Guardrails) -> Iterator[Definition]:
    """The experiment in each step."""
    now = started(
        Design("promotion-1", "s", guardrails=guardrails),
        CONTROL,
        [Entrant(NEWCOMER, shares[0])],
        NOTE,
        "one",
    )
    yield now
    for share in shares[1:]:
        now = with_share(now, Entrant(NEWCOMER, share), NOTE)
        yield now


def joined(parts: list[UnitColumns]) -> UnitColumns:
    return UnitColumns(
        np.concatenate([one.key for one in parts]),
        {name: np.concatenate([one.counts[name] for one in parts]) for name in COUNTS},
        {name: np.concatenate([one.sums[name] for one in parts]) for name in SUMS},
    )


class Broken:
    """*Broken* over the newcomer's answers, as the promise monitor computes it."""

    def __init__(self) -> None:
        self._detector = EDetector(ALPHA, share=AUDITED)
        self.audits = 0

    def alarms(self, part: UnitColumns) -> bool:
        """Take answers in their order; whether it alarms, at the audit that `audits` then counts."""
        answers = (part.counts["arm"] == 1) & (part.counts["answered"] == 1)
        audits, wrong = part.counts["audits"][answers], part.sums["audited_wrong"][answers] > 0.0
        begin = 0
        for at in np.flatnonzero(wrong):
            self._detector.repeat(int(at) - begin)
            value = self._detector.update(True, True, AUDITED)
            if value >= 1.0 / DELTA:
                self.audits += int(audits[: at + 1].sum())
                return True
            begin = int(at) + 1
        self._detector.repeat(len(wrong) - begin)
        self.audits += int(audits.sum())
        return False


def promotion(
    seed: int,
    arms: tuple[Bundle, Bundle],
    shares: tuple[float, ...],
    looks: int,
    requests: int,
    guardrails: Guardrails = PROMOTION_GUARDRAILS,
    *,
    broken: bool = True,
) -> Left:
    """One promotion: `looks` in each step, after so many requests each."""
    rng, parts, monitor = np.random.default_rng(seed), [], Broken()
    for stratum, definition in enumerate(held(shares, guardrails)):
        for _ in range(looks):
            parts.append(rows(rng, requests, shares[stratum], stratum, arms))
            if monitor.alarms(parts[-1]) and broken:
                return Left("broken", monitor.audits)
            every = joined(parts)
            table = every.table(definition.names, np.array(definition.designed()))
            for one in guard_readings(definition, every, table):
                if one.state == "beyond":
                    return Left(one.guard, monitor.audits)
    return Left(None, monitor.audits)


def test_a_bad_newcomer_leaves_soon(
    draws: Callable[[int, int], int],
    recording: Recording,
    print_table: Callable[..., str],
    markdown_table: Callable[..., str],
) -> None:
    """10 % of 2,000 requests a minute, a look every two minutes, for an hour at most."""
    few = {"both": draws(4, 200), "guardrails alone": draws(1, 10)}
    arms = (Bundle(0.005), Bundle(0.03))
    of_risk = Guardrails(None, PROMOTION_GUARDRAILS.risk, None, None, level=PROMOTION_GUARDRAILS.level)
    table, median = [], {}
    for name, runs in few.items():
        both = name == "both"
        guardrails = PROMOTION_GUARDRAILS if both else of_risk
        found = [promotion(seed, arms, (0.1,), 30, 4000, guardrails, broken=both) for seed in range(runs)]
        audits = np.array([one.audits if one.why else np.inf for one in found])
        by = Counter(one.why for one in found)
        median[name] = float(np.median(audits))
        quantiles = (f"{one:,.0f}" for one in np.quantile(audits, (0.25, 0.5, 0.9), method="lower"))
        table.append([name, runs, *quantiles, by["broken"], by["risk"], by[None]])
    header = [
        "judged by",
        "promotions",
        "a quarter",
        "median",
        "nine tenths",
        "by broken",
        "by risk",
        "stayed",
    ]
    raw = print_table("Audits of a newcomer with a risk of 3 % until it leaves", header, table)
    recording.save(
        "canary-risk",
        "promise",
        "Promotion: a newcomer with a risk of 3 %",
        about="2,000 requests a minute, a tenth to the newcomer, a tenth of the answers audited; the "
        f"champion has a risk of .5 %, both promise 1 %; {few['both']} promotions, a look every two minutes, "
        "an hour at most.",
        claims=[
            Claim(
                "promotion: audits of a newcomer with a risk of 3 % on a 10 % canary until it leaves, median",
                f"{median['both']:,.0f}",
                "at most 300",
                median["both"] <= 300,
            )
        ],
        detail=markdown_table(header, table),
        raw=raw,
    )
    assert median["both"] <= (300 if few["both"] > 100 else 500)


def test_a_newcomer_that_is_as_good_stays(
    draws: Callable[[int, int], int],
    recording: Recording,
    print_table: Callable[..., str],
    markdown_table: Callable[..., str],
) -> None:
    """Three steps of 6,000 requests, six looks at each; and *broken* alone, for as long as it may be."""
    runs, table, shares = draws(3, 200), [], {}
    for risk in (0.005, ALPHA):
        arms = (Bundle(risk), Bundle(risk))
        found = [promotion(seed, arms, RAMP, 6, 1000) for seed in range(runs)]
        shares[risk] = sum(one.why is not None for one in found) / runs
        by = Counter(one.why for one in found)
        audits = float(np.median([one.audits for one in found]))
        guards = runs - by[None] - by["broken"]
        table.append([f"{100 * risk:g} %", runs, f"{audits:,.0f}", shares[risk], guards, by["broken"]])
    many = draws(40, 2000)
    alone = sum(_broken_at_the_edge(seed) for seed in range(many)) / many
    table.append(["1 %, *broken* alone", many, f"{MOST_AUDITS:,}", alone, "", int(alone * many)])
    header = ["risk of both", "promotions", "audits", "withdrawn", "by guardrails", "by broken"]
    raw = print_table("A newcomer that is as good as the champion", header, table)
    recording.save(
        "canary-equal",
        "promise",
        "Promotion: a newcomer that is as good as the champion",
        about=f"Steps of {', '.join(f'{one:g}' for one in RAMP)} of the units, 6,000 requests and six "
        "looks in each, a tenth of the answers audited; the promise is 1 %.",
        claims=[
            Claim(
                "promotion: withdrawn though as good as the champion, by guardrails and broken together",
                ", ".join(f"{shares[risk]:.3f} at a risk of {100 * risk:g} %" for risk in shares)
                + f" of {runs}",
                "at most .05",
                max(shares.values()) <= 0.05,
            ),
            Claim(
                f"promotion: *broken* within {MOST_AUDITS:,} audits at exactly 1 %",
                f"{alone:.3f} of {many:,} runs",
                f"at most {BROKEN:.3f}",
                alone <= BROKEN,
            ),
        ],
        detail=markdown_table(header, table),
        raw=raw,
    )
    assert max(shares.values()) <= stats.binom.ppf(0.999, runs, 0.05) / runs
    assert alone <= stats.binom.ppf(0.999, many, BROKEN) / many


def test_the_level_is_split_by_its_rule() -> None:
    assert BROKEN + PROMOTION_GUARDRAILS.level <= 0.05 + 1e-12


def _broken_at_the_edge(seed: int) -> bool:
    """Whether *broken* alarms within the audits of the longest promotion, at a risk of exactly alpha."""
    rng, monitor = np.random.default_rng(seed), Broken()
    while monitor.audits < MOST_AUDITS:
        part = rows(rng, 20_000, 1.0, 0, (Bundle(ALPHA, answers=1.0), Bundle(ALPHA, answers=1.0)))
        if monitor.alarms(part):
            return monitor.audits <= MOST_AUDITS
    return False
