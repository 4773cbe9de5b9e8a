"""The sentence: every state of a monitor, with the doubts that belong to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitoring.promise.latch import Alarm, BundleLatch
from monitoring.promise.reading import Reading, SignalReading
from monitoring.promise.sentence import monitor_sentence
from monitoring.promise.terms import PromiseTerms, WatchOptions

MARCH = 1_772_582_400.0  # 4 March 2026, 00:00 UTC
TERMS = PromiseTerms("tiny:1", "promised", 0.01, coverage=0.7)
OPTIONS = WatchOptions(share=0.1)
READING = Reading(
    "tiny:1",
    MARCH,
    images=12_000,
    audits=1240,
    risk=(0.0021, 0.0093),
    decided=100,
    answered=80,
    with_units=True,
)
GOOD = BundleLatch()


def alarmed(signal: str, part: str = "", *, trusted: bool = True) -> BundleLatch:
    alarm = Alarm(signal, part, MARCH + 86_400 * 30, 34.2, trusted)  # type: ignore[arg-type]
    return BundleLatch(0.0, {f"{signal} {part}": alarm})


def test_the_promise_holds() -> None:
    assert monitor_sentence(TERMS, OPTIONS, READING, GOOD) == (
        "The promise has held over 1,240 audited answers since 4 March 2026; with 95 % confidence the risk "
        "is between 0.21 and 0.93 %."
    )


def test_the_promise_is_broken() -> None:
    sentence = monitor_sentence(TERMS, OPTIONS, READING, alarmed("broken"), suspended=True)
    assert sentence.startswith(
        "The promise is broken: since 3 April 2026 more than 1 % of the answers have been wrong, by an "
        "e-value of 34.2 (alarm at 20); over 1,240 audited answers"
    )
    assert "abstains on every image until somebody resets it." in sentence


def test_a_broken_part_is_named() -> None:
    terms = replace(TERMS, each="answer", parts=("no", "yes"))
    sentence = monitor_sentence(terms, OPTIONS, READING, alarmed("broken", "yes"))
    assert "of the answers 'yes' have been wrong" in sentence
    assert "(alarm at 40)" in sentence
    by_column = replace(TERMS, each="light", parts=("day", "night"))
    sentence = monitor_sentence(by_column, OPTIONS, READING, alarmed("broken", "night"))
    assert "of the answers with light 'night' have been wrong" in sentence
    assert "Only answers whose X-Slice names their light are watched." in sentence


def test_worse_is_a_warning_and_never_a_broken_promise() -> None:
    reading = replace(READING, signals=(SignalReading("worse", "", 30.0, 31.0, 20.0, 0.0062),))
    sentence = monitor_sentence(TERMS, OPTIONS, reading, alarmed("worse"))
    assert "The promise has held" in sentence
    assert "above that of this bundle's own beginning (0.62 %)" in sentence
    assert "broken" not in sentence


def test_too_few_answers_are_said() -> None:
    sentence = monitor_sentence(TERMS, OPTIONS, READING, alarmed("coverage"))
    assert "fewer images have been answered than the certificate proves (70 %); of 100 images 80" in sentence


def test_missing_labels_count_as_wrong_and_are_said() -> None:
    few = replace(READING, missing=12, risk_of_labelled=(0.001, 0.005))
    assert "where 12 labels that never came count as wrong" in monitor_sentence(TERMS, OPTIONS, few, GOOD)
    many = replace(READING, missing=186, risk=(0.1, 0.2), risk_of_labelled=(0.001, 0.005))
    sentence = monitor_sentence(TERMS, OPTIONS, many, GOOD)
    assert "the risk is between 0.1 and 0.5 % by the labels that came; 186 of the audits (15 %)" in sentence
    assert "with these counted as wrong it is between 10 and 20 %" in sentence


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        (PromiseTerms("a:1", "not certified here", why="this is x/fp32"), "promised here (this is x/fp32)"),
        (PromiseTerms("a:1", "infeasible", 0.01, why="300 more"), "no promise could be certified"),
    ],
)
def test_without_a_promise_nothing_is_watched(terms: PromiseTerms, said: str) -> None:
    sentence = monitor_sentence(terms, OPTIONS, None, GOOD, open_labels=True)
    assert said in sentence
    assert sentence.startswith("Nothing is watched")


def test_a_guarantee_in_expectation_cannot_be_broken() -> None:
    sentence = monitor_sentence(replace(TERMS, standing="in expectation"), OPTIONS, READING, GOOD)
    assert "no single bundle can break it; over 1,240 audited answers" in sentence


def test_what_is_not_known_yet_is_said() -> None:
    assert "not reached the store" in monitor_sentence(TERMS, OPTIONS, None, GOOD)
    waiting = Reading("tiny:1", MARCH, waiting=3)
    assert "no audited answer has a label; 3 audits wait for one" in monitor_sentence(
        TERMS, OPTIONS, waiting, GOOD
    )
    assert "no audits are drawn" in monitor_sentence(TERMS, replace(OPTIONS, share=0.0), READING, GOOD)


def test_doubts_stand_beside_the_verdict() -> None:
    doubtful = replace(READING, with_units=False, held_at=MARCH)
    sentence = monitor_sentence(TERMS, OPTIONS, doubtful, GOOD, open_labels=True)
    assert "No unit ids come" in sentence
    assert "holds before an answer of 4 March 2026" in sentence
    assert "Labels are open: anybody who reaches the port may send them." in sentence
    untrusted = alarmed("broken", trusted=False)
    assert "so nothing was done by itself" in monitor_sentence(
        TERMS, OPTIONS, READING, untrusted, open_labels=True
    )
