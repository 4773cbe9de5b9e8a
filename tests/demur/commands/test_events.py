"""`demur events`: the log of a service on the terminal, as a table, and in another store."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from fakes.command_line import Demur
from fakes.waiting import eventually

from demur.commands import events_replay, events_tail
from monitoring.delivery.event_lines import line_of
from monitoring.delivery.event_log import EventLog, LogBounds
from monitoring.events import Event, FailureEvent, FeedbackEvent, PredictionEvent
from monitoring.store.connection import connect
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.windows.rolling import RollingWindows
from service.settings import Settings

BUNDLE = "roadwork:1"
AT = 1_800_000_000.0
DEALT = ("experiment", "arm", "stratum", "seconds", "dealt")


def predicted(name: str, number: int, **fields: Any) -> PredictionEvent:
    values = {"predicted": 1, "answer": 1, "stage": "A", "confidence": 1.0, "probability": 0.9}
    return PredictionEvent(name, fields.pop("bundle", BUNDLE), **{**values, "at": AT + number, **fields})


def written(data: Path, *workers: Sequence[Event], model: str = "roadwork") -> Path:
    """A data folder with the logs of some workers."""
    logs = []
    for events in workers:
        log = EventLog.claim(data / "events" / model, LogBounds())
        log.append(events)
        logs.append(log)
    for log in logs:
        log.close()
    return data


@pytest.fixture(autouse=True)
def without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEMUR_DATA_DIR", "DEMUR_MODEL", "DEMUR_WINDOWS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def week(tmp_path: Path) -> Path:
    """Two workers, two bundles, and labels that the other worker took."""
    rng = np.random.default_rng(3)
    shares: tuple[list[Event], list[Event]] = ([], [])
    for number in range(240):
        answered = rng.random() < 0.8
        event = predicted(
            f"r{number}",
            number,
            bundle=f"roadwork:{1 + number // 200}",
            predicted=int(rng.random() < 0.5),
            answer=None,
            stage="AB"[number % 2],
            reason="ambiguous",
            confidence=float(rng.random()),
        )
        if answered:
            event = PredictionEvent(
                **{name: getattr(event, name) for name in event.__slots__}
                | {"answer": event.predicted, "reason": None}
            )
        shares[number % 2].append(event)
        if number % 3:
            shares[1 - number % 2].append(
                FeedbackEvent(f"r{number}", int(rng.random() < 0.5), AT + 300 + number)
            )
    return written(tmp_path / "data", *shares)


class TestReplay:
    def test_a_recount_agrees(self, demur: Demur, week: Path) -> None:
        ended = demur("events", "replay", "--check", "--data-dir", week, "--windows", "3,50", "--json")
        assert ended.code == 0, ended.err
        found = json.loads(ended.out)
        assert (found["predictions"], found["labels"], found["unreadable"]) == (240, 160, 0)
        assert found["outcomes"]["recorded"] + found["outcomes"].get("joined", 0) == 240
        assert found["store"] == "a temporary store"
        # Two bundles and the total, four sizes with those of the reward.
        assert found["figures_compared"] > 3 * 4 * 10

    def test_a_store_gets_the_events_and_again_without_a_change(
        self, demur: Demur, week: Path, valkey: EmbeddedValkey
    ) -> None:
        arguments = ("events", "replay", "--data-dir", week, "--store", valkey.url)
        assert "240 predictions and 160 labels of roadwork are in unix://" in demur(*arguments).out
        windows = RollingWindows.at(valkey.url, "roadwork")
        first = windows.snapshot("roadwork:2").to_dict()
        assert first["predictions"] == 40
        ended = demur(*arguments, "--check")
        assert ended.code == 0, ended.err
        assert "240 repeated" in ended.out
        assert "All" in ended.out
        assert windows.snapshot("roadwork:2").to_dict() == first
        windows.close()

    def test_a_figure_that_differs_is_named(self, demur: Demur, week: Path, valkey: EmbeddedValkey) -> None:
        client = connect(valkey.url)
        client.flushall()
        windows = RollingWindows(client, "roadwork")
        demur("events", "replay", "--data-dir", week, "--store", valkey.url)
        client.hincrby(f"{windows.prefix}counts:{BUNDLE}:answered", "100 1:1", 1)
        ended = demur("events", "replay", "--data-dir", week, "--store", valkey.url, "--check")
        assert ended.code == 2
        assert "roadwork:1, window 100, answered: number is" in ended.err
        assert "roadwork:1, window 100, answered: accuracy is" in ended.err
        assert "total" not in ended.err
        client.close()

    def test_items_of_the_monitors_are_counted_again(
        self, demur: Demur, tmp_path: Path, valkey: EmbeddedValkey
    ) -> None:
        client = connect(valkey.url)
        client.flushall()
        draws = {"audit": True, "audit_probability": 0.5}
        events: list[Event] = [
            predicted(f"r{n}", 0, at=time.time() - n, draw=n / 9, **(draws if n % 2 else {}))
            for n in range(9)
        ]
        failure = FailureEvent("f", BUNDLE, "deadline-passed", time.time())
        data = written(tmp_path / "data", [*events, failure, FeedbackEvent("r3", 0, time.time())])
        arguments = ("events", "replay", "--data-dir", data, "--store", valkey.url, "--check")
        ended = demur(*arguments)
        assert ended.code == 0, ended.err
        (audits,) = set(client.scan_iter("demur:{roadwork}*items:waiting:*"))
        (minute, *_) = client.scan_iter("demur:{roadwork}*items:counts:*")
        assert client.zcard(audits) == 3
        client.hincrby(minute, next(iter(client.hgetall(minute))), 1)
        ended = demur(*arguments)
        assert ended.code == 2
        assert re.search(r"roadwork:1: the (decided|unaudited) items of second \d+: ", ended.err)
        client.close()

    def test_without_a_store_and_a_check_there_is_nothing_to_do(self, demur: Demur, week: Path) -> None:
        ended = demur("events", "replay", "--data-dir", week)
        assert (ended.code, ended.out) == (2, "")
        assert "--store" in ended.err
        assert "--check" in ended.err

    @pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "http://store", "unix://"])
    def test_a_store_that_cannot_be_reached(self, demur: Demur, week: Path, url: str) -> None:
        ended = demur("events", "replay", "--data-dir", week, "--store", url)
        assert ended.code == 2
        assert "Traceback" not in ended.err

    def test_many_differences_are_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = events_replay.Comparison(100, [f"figure {n}" for n in range(30)])
        with pytest.raises(events_replay.FiguresDiffer, match=r"30 of 100 .* and 10 more"):
            events_replay._require_agreement(found)


class TestExport:
    def test_a_row_per_prediction_with_the_label_that_holds(self, demur: Demur, tmp_path: Path) -> None:
        first: list[Event] = [
            predicted("a", 0, unit_id="cam7", audit=True, draw=0.25, audit_probability=0.5),
            predicted("b", 1, answer=None, reason="ambiguous", predicted=0, confidence=0.1),
            predicted("a", 0),
            predicted("c", 2, experiment="ramp", arm="roadwork:2", stratum=1, seconds=0.25, dealt="batch"),
        ]
        labels: list[Event] = [
            FeedbackEvent("a", 0, AT + 5, "team"),
            FeedbackEvent("a", 1, AT + 9),
            FeedbackEvent("a", 0, AT + 8 * 86_400),
            FeedbackEvent("b", 1, AT + 3, "team"),
        ]
        data = written(tmp_path / "data", first, labels)
        out = tmp_path / "out.parquet"
        ended = demur("events", "export", "--out", out, "--data-dir", data, "--json")
        assert ended.code == 0, ended.err
        assert json.loads(ended.out)["rows"] == 3
        rows = pq.read_table(out).to_pylist()
        assert [(row["request_id"], row["label"], row["label_source"], row["wrong"]) for row in rows] == [
            ("a", 1, None, False),
            ("b", 1, "team", True),
            ("c", None, None, None),
        ]
        assert (rows[0]["unit_id"], rows[0]["draw"], rows[0]["audit"]) == ("cam7", 0.25, True)
        assert (rows[1]["answer"], rows[1]["reason"]) == (None, "ambiguous")
        assert [rows[0][name] for name in DEALT] == [None] * 5
        assert [rows[2][name] for name in DEALT] == ["ramp", "roadwork:2", 1, 0.25, "batch"]

    @pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
    def test_every_format_has_every_row(self, demur: Demur, week: Path, tmp_path: Path, suffix: str) -> None:
        out = tmp_path / f"out{suffix}"
        assert demur("events", "export", "-o", out, "--data-dir", week).code == 0
        assert len(read(out)) == 240

    def test_the_least_confident_without_a_label(self, demur: Demur, week: Path, tmp_path: Path) -> None:
        out = tmp_path / "next.csv"
        choice = ("--only", "unlabelled", "--only", "abstained", "--least-confident", "5")
        assert demur("events", "export", "--out", out, "--data-dir", week, *choice).code == 0
        rows = read(out)
        assert len(rows) == 5
        assert {(row["label"], row["answer"]) for row in rows} == {("", "")}
        confidences = [float(row["confidence"]) for row in rows]
        assert confidences == sorted(confidences)
        assert max(confidences) < 0.6

    def test_times_and_bundles(self, demur: Demur, week: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.csv"
        base = ("events", "export", "--out", out, "--data-dir", week)
        # 1,800,000,000 is 2027-01-15T08:00:00Z.
        demur(*base, "--since", "2027-01-15T08:01", "--until", "2027-01-15T09:02:00+01:00")
        assert [row["request_id"] for row in read(out)] == [
            *(f"r{n}" for n in range(60, 120, 2)),
            *(f"r{n}" for n in range(61, 120, 2)),
        ]
        demur(*base, "--bundle", "roadwork:2")
        assert len(read(out)) == 40

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--out", "out.txt"), "suffix must be one of .parquet, .csv, .jsonl"),
            (("--out", "out.csv", "--since", "yesterday"), "since is 'yesterday'; it must be a date"),
            (
                ("--out", "out.csv", "--only", "wrong"),
                "only is 'wrong'; it must be one of labelled, unlabelled",
            ),
            (("--out", "out.csv", "--least-confident", "0"), "greater than or equal to 1"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, demur: Demur, week: Path, arguments: tuple[str, ...], message: str
    ) -> None:
        ended = demur("events", "export", "--data-dir", week, *arguments, "--json")
        assert ended.code == 2
        assert message in json.loads(ended.out)["error"]


class TestTail:
    def test_the_latest_of_all_workers_in_the_order_of_their_times(self, demur: Demur, week: Path) -> None:
        ended = demur("events", "tail", "-n", 4, "--only", "labels", "--data-dir", week)
        assert [line.split()[3] for line in ended.out.splitlines()] == ["r235", "r236", "r238", "r239"]

    def test_lines_for_people(self, demur: Demur, tmp_path: Path) -> None:
        events: list[Event] = [
            predicted("a", 0),
            predicted("b", 1, answer=None, reason="ambiguous", stage="B", audit=True),
            FeedbackEvent("a", 1, AT + 2, "team"),
            predicted("c", 3, experiment="ramp", arm="control", stratum=1),
            FailureEvent("d", "roadwork:2", "deadline-passed", AT + 4),
        ]
        data = written(tmp_path / "data", events)
        assert demur("events", "tail", "--data-dir", data).out.splitlines() == [
            "2027-01-15 08:00:00.000  answer   a  1 by A, p(1) 0.900, roadwork:1",
            "2027-01-15 08:00:01.000  abstain  b  ambiguous, B, p(1) 0.900, roadwork:1, audit",
            "2027-01-15 08:00:02.000  label    a  1 from team",
            "2027-01-15 08:00:03.000  answer   c  1 by A, p(1) 0.900, roadwork:1, control in ramp.1",
            "2027-01-15 08:00:04.000  failed   d  deadline-passed, roadwork:2",
        ]

    def test_json_lines_of_one_bundle(self, demur: Demur, week: Path) -> None:
        ended = demur("events", "tail", "-n", 300, "--bundle", "roadwork:2", "--json", "--data-dir", week)
        values = [json.loads(line) for line in ended.out.splitlines()]
        assert len(values) == 40
        assert {value["bundle"] for value in values} == {"roadwork:2"}

    def test_following_shows_what_comes_also_from_a_new_worker(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = written(tmp_path / "data", [predicted("old", 0)])
        settings = Settings.read({}, bundle=Path(), data_dir=data)
        # Not capsys, which drops what another thread writes while it is read.
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        on = threading.Event()
        on.set()
        following = threading.Thread(
            target=events_tail.tail,
            args=(settings,),
            kwargs={"lines": 1, "follow": True, "go_on": on.is_set},
        )
        following.start()
        try:
            eventually(lambda: "old" in out.getvalue())
            logs = data / "events" / "roadwork"
            first, second = (EventLog.claim(logs, LogBounds()) for _ in range(2))
            first.append([predicted("first", 1)])
            second.append([predicted("second", 2)])
            eventually(lambda: "first" in out.getvalue() and "second" in out.getvalue())
            first.close()
            second.close()
        finally:
            on.clear()
            following.join()
        # Two workers' events may be found by two looks, and then in any order.
        assert sorted(line.split()[3] for line in out.getvalue().splitlines()) == ["first", "old", "second"]


class TestLogs:
    def test_no_log(self, demur: Demur, tmp_path: Path) -> None:
        ended = demur("events", "tail", "--data-dir", tmp_path)
        assert ended.code == 2
        assert "there are no event logs in" in ended.err
        assert "--data-dir" in ended.err

    def test_several_models(self, demur: Demur, tmp_path: Path) -> None:
        for model in ("one", "two"):
            written(tmp_path, [predicted("a", 0)], model=model)
        assert "are of one, two; name one with --model" in demur("events", "tail", "--data-dir", tmp_path).err
        assert "model is 'three'" in demur("events", "tail", "--data-dir", tmp_path, "--model", "three").err
        assert demur("events", "tail", "--data-dir", tmp_path, "--model", "two").code == 0

    def test_torn_and_foreign_lines_are_counted(self, demur: Demur, tmp_path: Path) -> None:
        data = written(tmp_path, [predicted("a", 0)])
        folder = tmp_path / "events" / "roadwork" / "writer-0"
        line = line_of(predicted("b", 1))
        (folder / "000000000002.jsonl").write_bytes(b'{"event":"weather"}\n\xff\xfe\n' + line + line[:20])
        (folder / "000000000003.jsonl").write_bytes(line_of(predicted("c", 2)) + line[:30])
        ended = demur("events", "replay", "--check", "--data-dir", data, "--json")
        found = json.loads(ended.out)
        assert (found["predictions"], found["unreadable"]) == (3, 3)

    def test_the_variables_of_the_service_count(
        self, demur: Demur, week: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "serve.env"
        file.write_text(f"DEMUR_DATA_DIR={week}\nDEMUR_WINDOWS=7\n", "utf-8")
        ended = demur("events", "replay", "--check", "--env-file", file, "--json")
        assert json.loads(ended.out)["predictions"] == 240
        monkeypatch.setenv("DEMUR_DATA_DIR", str(week))
        monkeypatch.setenv("DEMUR_WINDOWS", "x")
        assert "DEMUR_WINDOWS is 'x'" in demur("events", "replay", "--check").err


def read(out: Path) -> list[dict[str, Any]]:
    if out.suffix == ".parquet":
        return pq.read_table(out).to_pylist()
    if out.suffix == ".jsonl":
        return [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    with out.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server
