"""`demur doctor`: findings by topic, and an exit code that scripts can use."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from fakes.command_line import Demur

from demur.commands import doctor
from demur.doctor.finding import Finding, Probe


def some(*statuses: str) -> tuple[Probe, ...]:
    def look() -> Iterator[Finding]:
        for status in statuses:
            yield Finding("engines", status, f"[{status}] thing", "pip install 'demur[cpu]'")  # type: ignore[arg-type]

    return (Probe("engines", look),)


@pytest.mark.parametrize(
    ("statuses", "code", "verdict"),
    [
        (("ok", "note"), 0, "demur works here."),
        (("ok", "missing"), 0, "demur works here; optional and not installed: 1."),
        (("ok", "broken"), 1, "To be mended: 1 of 2 findings."),
    ],
)
def test_the_exit_code(
    statuses: tuple[str, ...], code: int, verdict: str, demur: Demur, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "PROBES", some(*statuses))
    ended = demur("doctor")
    assert (ended.code, ended.out.splitlines()[-1]) == (code, verdict)
    assert f"[{statuses[1]}] thing" in ended.out
    assert "pip install 'demur[cpu]'" in ended.out
    value = json.loads(demur("doctor", "--json").out)
    assert (value["works"], len(value["findings"])) == (code == 0, 2)


def test_every_topic_is_said_of_this_machine(demur: Demur) -> None:
    ended = demur("doctor", "--json")
    topics = {one["topic"] for one in json.loads(ended.out)["findings"]}
    assert topics >= {"demur", "extras", "engines", "GPU", "machine", "memory", "hub", "store", "folders"}
