"""Page of a promotion in Markdown: what happened first, then why, then everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from bundle.registry.generation import Ref
from deploy.report.story import Milestone, Result, Story
from monitoring.alerts.durations import in_words

CAPTIONS: Final = {
    "course.png": "The course: share of the newcomer, and guardrails with their intervals against the limits",
    "latency.png": "Latencies of both bundles, measured in turns on the machine of the promotion",
}
"""Picture -> what it shows"""
_WORDS: Final = {"promoted": "promoted", "rolled-back": "rolled back"}
_LONGEST: Final = 600
"""Characters of a cell"""


def page_of(story: Story, pictures: Sequence[str], without: str | None) -> str:
    """The page. `pictures`: names of the files beside it; `without`: why there are none."""
    parts = [
        f"# Promotion {_plain(story.state.id)}: {_WORDS.get(story.state.phase, 'still running')}",
        _decision(story),
        _table(("", ""), _facts(story)),
        "## Steps",
        _table(("began", "step", "newcomer answers", "took", "generation"), _steps(story)),
    ]
    parts += [f"![{CAPTIONS[name]}]({name})\n\n*{CAPTIONS[name]}.*" for name in pictures]
    if without is not None:
        parts.append(f"This report has no pictures: {_plain(without)}.")
    parts += [
        "## Gates",
        _table(("step", "gate", "outcome", "figure", "limit", "what was seen"), _gates(story)),
    ]
    if story.left_out:
        parts += [
            "Left out, which is not the same as passed:",
            "\n".join(f"- `{one.gate}`: {_plain(one.why)}" for one in story.left_out),
        ]
    parts.append("Every figure and the plan are in [gates.json](gates.json). Times are UTC.")
    return "\n\n".join(parts) + "\n"


def _decision(story: Story) -> str:
    """What happened, in two sentences."""
    newcomer, state = _label(story.state.newcomer), story.state
    counts = f"{len(story.results)} results of gates were kept"
    if state.phase == "promoted":
        instead = "" if story.before is None else f" in the place of {_label(story.before)}"
        return (
            f"**{newcomer} is the champion of fleet {story.fleet}{instead}, since {_time(state.since)}.** "
            f"Every gate that was asked for has passed ({counts})."
        )
    if state.phase == "rolled-back":
        champion = "nothing" if story.champion is None else _label(story.champion)
        serves = f"{champion} {'serves as before' if story.champion == story.before else 'serves'}"
        why = _plain(state.why or "no reason was kept")
        return (
            f"**{newcomer} was not promoted in fleet {story.fleet}; {serves} ({_time(state.since)}).** "
            f"Why: {why.rstrip('.')}."
        )
    return f"**{newcomer} is in phase {state.phase} since {_time(state.since)}.** {counts}."


def _facts(story: Story) -> Iterator[tuple[str, str]]:
    state = story.state
    yield "newcomer", f"{_label(state.newcomer)}, digest `{state.newcomer.digest[:16]}`"
    yield "champion before", "none" if story.before is None else _label(story.before)
    yield (
        "asked for",
        f"{_time(state.started.at)} by {_plain(state.started.by)}: {_plain(state.started.reason)}",
    )
    if state.approval is not None:
        approval = state.approval
        yield "approved", f"{_time(approval.at)} by {_plain(approval.by)}: {_plain(approval.comment)}"
    if story.ended:
        yield "ended", f"{_time(state.since)}, after {_took(state.since - state.started.at)}"
        yield "decided by", _plain(story.course[-1].by)
    if state.term > 1:
        yield "promoters", f"{state.term}: one has taken over from another"


def _steps(story: Story) -> Iterator[tuple[str, ...]]:
    ends = [*story.course[1:], None]
    for one, following in zip(story.course, ends, strict=True):
        took = "" if following is None else _took(following.at - one.at)
        yield _time(one.at), _WORDS.get(one.phase, one.name), _answers(one), took, str(one.number)


def _answers(one: Milestone) -> str:
    if one.share > 0.0:
        return f"{100.0 * one.share:g} % of the units"
    return "nothing, it computes beside" if one.phase == "shadow" else "nothing"


def _gates(story: Story) -> Iterator[tuple[str, ...]]:
    for one in story.results:
        yield (
            _step_name(one, story.course),
            f"`{one.gate}`",
            f"**{one.outcome}**" if one.outcome != "passed" else one.outcome,
            _figure(one.figure),
            _figure(one.limit),
            one.text,
        )


def _step_name(result: Result, course: Sequence[Milestone]) -> str:
    found = (one.name for one in course if (one.phase, one.step) == (result.phase, result.step))
    return next(found, result.phase)


def _figure(value: float | str | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.4g}"


def _label(bundle: Ref) -> str:
    return f"`{bundle.label}`"


def _time(at: float) -> str:
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return "at an unknown time"


def _took(seconds: float) -> str:
    """Clocks of two machines may differ."""
    return in_words(seconds) if seconds >= 1.0 else f"{max(0.0, seconds):.2f} s"


def _table(header: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [header, ["---"] * len(header), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Text of one line that is no markup of tables or HTML."""
    line = " ".join(text.split())
    line = line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
    return line.replace("\\|", "|").replace("|", "\\|").replace("<", "&lt;")
