"""A gate in a process of its own: whatever happens there is an outcome, and none of it is a pass."""

from __future__ import annotations

from functools import partial

import pytest
from fakes import gate_work

from deploy.gates.contained import Limits, Work, ask_contained
from deploy.gates.outcome import GateResult


def ask(work: Work, *gates: str, longest: float = 60.0, memory: float | None = None) -> list[GateResult]:
    limits = Limits(longest, memory)
    return ask_contained(work, gates, limits, say=lambda _: None, cancelled=lambda: False)


def test_results_come_back() -> None:
    found = ask(partial(gate_work.passes, ("golden", "start")), "golden", "start")
    assert [one.gate for one in found] == ["golden", "start"]


def test_a_gate_without_a_result_is_inconclusive() -> None:
    found = ask(partial(gate_work.passes, ("golden", "luck")), "golden", "start")
    assert [(one.gate, one.outcome) for one in found] == [("golden", "passed"), ("start", "inconclusive")]


@pytest.mark.parametrize(
    ("work", "says"),
    [
        (gate_work.dies, "ended with 7"),
        (partial(gate_work.raises, ValueError("bad luck")), "ValueError: bad luck"),
        (partial(gate_work.raises, MemoryError()), "memory ran out"),
        (partial(gate_work.raises, ModuleNotFoundError("no scipy", name="scipy")), "the extra [certify]"),
        (partial(gate_work.raises, OSError(28, "No space left on device")), "No space left"),
        (gate_work.cannot, "nothing to see"),
        (partial(gate_work.eats, 4096), "memory ran out"),
    ],
)
def test_what_goes_wrong_is_told(work: Work, says: str, capfd: pytest.CaptureFixture[str]) -> None:
    (result,) = ask(work, "golden", memory=1024.0)
    assert result.outcome == "inconclusive"
    assert says in result.text
    assert "Traceback" not in capfd.readouterr().err


def test_a_gate_ends_with_its_time() -> None:
    found = ask(gate_work.loops, "memory", "start", longest=1.0)
    assert {one.outcome for one in found} == {"inconclusive"}
    assert all("longer than 1 s" in one.text for one in found)


def test_a_gate_ends_when_it_is_cancelled() -> None:
    limits = Limits(600.0, None)
    (result,) = ask_contained(
        gate_work.loops, ("golden",), limits, say=lambda _: None, cancelled=lambda: True
    )
    assert result.outcome == "inconclusive"
    assert "cancelled" in result.text
