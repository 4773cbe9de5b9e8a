"""State that each released version has stored is read by this one: nothing is lost, and nothing counts anew.

The archives are written by `tests/fixtures/write_state.py`, once per release, and never again.
"""

from __future__ import annotations

import json
import math
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.later_state import change_documents, with_new_field
from fakes.stored_state import (
    MODEL,
    NOON,
    PLACE,
    READ_AT,
    TIMES,
    Stored,
    dump_store,
    events_of,
    figures,
    restore_store,
)
from structlog.testing import capture_logs
from typer.testing import CliRunner

from demur.cli import app
from monitoring.alerts.disk import AlertFolder
from monitoring.alerts.engine_state import EngineState
from monitoring.alerts.outbox.outbox import Outbox
from monitoring.alerts.state import StoredState
from monitoring.events import FeedbackEvent, PredictionEvent
from monitoring.experiments.folder import ExperimentFolder
from monitoring.promise.archive import Archive
from monitoring.promise.latch import Alarm, Latch
from monitoring.store.connection import connect
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.windows.rolling import RollingWindows
from monitoring.windows.snapshot import TOTAL
from service.lineup.restart import plan_at_start
from service.settings import Settings
from trainer.certify.ledger_document import LedgerTooNew
from trainer.certify.ledger_folder import LedgerFolder

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
RELEASES = sorted(path.name for path in FIXTURES.glob("state-*.tar.xz"))
AT = READ_AT - 3 * TIMES.gap
"""Of what this version writes: the items of this second do not change any more"""
SETTINGS = {"DEMUR_AUDIT_WAIT": str(TIMES.wait), "DEMUR_AUDIT_GAP": str(TIMES.gap)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(params=RELEASES)
def state(request: pytest.FixtureRequest, server: EmbeddedValkey, tmp_path: Path) -> Stored:
    """The state of a release, unpacked in another place, and its store restored into a real server."""
    with tarfile.open(FIXTURES / request.param) as archive:
        # Python 3.11.0 to 3.11.3 know no filters.
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    found = Stored(tmp_path / "state", server.url)
    for path in (found.data / "experiments").glob("*.json"):
        path.write_text(path.read_text().replace(PLACE, str(found.root)))
    with closing(connect(server.url)) as client:
        client.flushall()
    with (found.root / "store.jsonl").open() as lines:
        restore_store(lines, server.url)
    return found


def test_every_figure_is_what_it_was(state: Stored) -> None:
    """Windows, promise, dealing, drift, alerts, timings, ledger, and what the bundles decide."""
    before = json.loads((state.root / "figures.json").read_text())
    assert list(_differences(before, figures(state))) == []
    # What was compared is there: 420 requests, an alarm, a promise with a base, an open alert.
    assert before["windows"][0][0]["predictions"] == 420
    assert len(before["promise"]["latch"]["bundles"]) == 2
    assert all(one["audits"] > 20 for one in before["promise"]["readings"][::2])
    assert set(before["alerts"]["states"].values()) == {"acknowledged", "pending"}


def test_reading_changes_nothing_in_the_store(state: Stored) -> None:
    before = _without_lives(state)
    figures(state)
    # The reader of the alerts takes no lease, and no reader writes.
    assert _without_lives(state) == before


def test_the_log_gives_the_same_figures_when_it_is_replayed(
    state: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    command = ["events", "replay", "--check", "--data-dir", str(state.data), "--model", MODEL]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "are what the events say" in " ".join(result.output.split())
    assert "lines of the logs are no events" not in result.output


def test_every_event_of_the_log_is_known_to_the_store(state: Stored) -> None:
    """A service of this version that sends everything again changes no figure."""
    with closing(RollingWindows.at(state.url, MODEL, items=TIMES)) as windows:
        before = windows.snapshots([TOTAL, *state.labels])
        outcomes = windows.apply(events_of(state))
        assert {*outcomes} <= {"repeated", "duplicate", "stale", "noted"}
        assert windows.snapshots([TOTAL, *state.labels]) == before


def test_what_this_version_writes_stands_beside_what_was_there(state: Stored) -> None:
    """A further prediction and its label, and a corrected label of an old prediction."""
    champion, _ = state.labels
    old = next(one for one in reversed(events_of(state)) if isinstance(one, PredictionEvent))
    new = PredictionEvent("new", champion, 1, 1, "A", 0.9, 0.9, AT, draw=0.5)
    with closing(RollingWindows.at(state.url, MODEL, items=TIMES)) as windows:
        before = windows.snapshot(TOTAL)
        assert windows.apply([new, FeedbackEvent("new", 1, AT + 1.0)]) == ["recorded", "ok"]
        for label in (0, 1):
            windows.apply([FeedbackEvent(old.request_id, label, AT + label)])
        after = windows.snapshot(TOTAL)
    assert after.predictions == before.predictions + 1
    assert after.labelled - before.labelled in (1, 2)
    readings = figures(state)["promise"]["readings"]
    stored = json.loads((state.root / "figures.json").read_text())["promise"]["readings"]
    assert readings[0]["audits"] == stored[0]["audits"]
    assert readings[0]["decided"] == stored[0]["decided"] + 1


def test_the_experiment_goes_on(state: Stored) -> None:
    settings = Settings.read({}, bundle=state.root / "one", data_dir=state.data)
    plan, running = plan_at_start(settings)
    assert running is not None
    assert running.running
    assert [(one.folder.name, one.share) for one in plan.challengers] == [("two", 0.4)]


def test_fields_that_a_later_version_adds_are_left_out(state: Stored) -> None:
    """As a service that is rolled back meets them, in each line, file and document."""
    before = figures(state)
    assert change_documents(state, with_new_field) >= 15
    assert list(_differences(before, figures(state))) == []


def test_a_document_of_a_later_format_is_refused_and_stays(state: Stored) -> None:
    """The promise's latch and bases, and the state of the alerts; nothing of them is overwritten."""
    champion, challenger = state.labels
    base = Archive(state.data / "promise", None, MODEL).base(champion, 0.0)
    assert base is not None
    change_documents(state, lambda value: {**value, "format": 2} if isinstance(value, dict) else value)
    before = _contents(state)
    with capture_logs() as said:
        archive = Archive(state.data / "promise", state.url, MODEL)
        assert archive.latch() == Latch()
        archive.keep_in_step(Latch().alarmed("new:1", Alarm("broken", "", NOON, 30.0, trusted=True), 0.0))
        assert archive.base(champion, 0.0) is None
        archive.keep(champion, replace(base, second=base.second + 60), 0.0)
        with pytest.raises(OSError, match="a later version of demur keeps its latch there"):
            archive.change_latch(lambda held: held.activated(challenger, NOON))
        folder = AlertFolder(state.data / "alerts")
        assert folder.read() == EngineState()
        with pytest.raises(OSError, match="a later version of demur keeps its state there"):
            folder.keep(EngineState())
        assert Outbox(state.data / "alerts" / "outbox", {}).entries() == []
        with closing(StoredState.at(state.url, MODEL, "two")) as store:
            for _ in range(2):
                standing = store.follow([], 0)
                assert (standing.fence, standing.leader) == (None, "a later version")
            assert not store.keep(EngineState(), 2, [])
            assert store.read() is None
        assert ExperimentFolder(state.data).all() == []
        with pytest.raises(LedgerTooNew, match="has format 2, and this demur reads up to 1"):
            LedgerFolder(state.root / "ledger").read()
    why = [one["why"] for one in said if "format 2" in one.get("why", "")]
    assert {text.split(" has ")[0] for text in why} == {
        "the latch of the promise monitor",
        "a monitor's base",
        "the state of the alerts",
        "a message of the outbox",
        "it",
    }
    assert all("reads format 1: run the later version that wrote it" in text for text in why)
    assert _contents(state) == before


def _contents(state: Stored) -> dict[str, object]:
    """The files of the data folder, and the documents of the store."""
    files = {str(path): path.read_bytes() for path in state.root.rglob("*.json")}
    with closing(connect(state.url)) as client:
        stored = {str(key): client.get(key) for key in client.keys(f"demur:{{{MODEL}}}:promise:*")}
        alerts = {"alerts": client.hget(f"demur:{{{MODEL}}}:alerts:state", "document")}
    return {**files, **stored, **alerts}


def _differences(before: Any, now: Any, at: str = "") -> Iterator[str]:
    """Where a stored value is another one now; what a later version says besides is none."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name, value in before.items():
            yield from _differences(value, now.get(name, "nothing"), f"{at}/{name}")
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for place, (value, other) in enumerate(zip(before, now, strict=True)):
            yield from _differences(value, other, f"{at}/{place}")
    elif isinstance(before, float) and isinstance(now, float | int):
        if not math.isclose(before, now, rel_tol=_tolerance(at), abs_tol=_tolerance(at)):
            yield f"{at}: {before!r}, now {now!r}"
    elif before != now:
        yield f"{at}: {before!r}, now {now!r}"


def _tolerance(at: str) -> float:
    # Another machine's engine computes other last digits.
    return 1e-4 if at.startswith("/decisions") else 1e-12


def _without_lives(state: Stored) -> dict[str, str]:
    return {key: value for key, _, value in map(json.loads, dump_store(state.url))}
