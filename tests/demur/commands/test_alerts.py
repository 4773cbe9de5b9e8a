"""`demur alerts`: a file is checked and tried, and what fires is seen to, without a traceback in any case."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.alert_days import FILE, NOON
from fakes.command_line import Demur
from fakes.http_receiver import HttpReceiver, answers, http_receiver

ALERT = {
    "fingerprint": "3f9c1a7be201",
    "rule": "drift",
    "severity": "warning",
    "state": "firing",
    "labels": {"bundle": "demur:1"},
    "opened": NOON,
    "since": NOON,
    "text": "brightness went from .5 to .3",
    "action": "Look at what moved.",
    "runbook": "docs/runbooks/drift.md",
    "silenced_by": [],
    "told": ["ada by mail"],
    "acts": [{"kind": "acknowledge", "name": "Ada", "reason": "seen", "at": NOON}],
    "applied": True,
}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    with http_receiver(answers()) as one:
        monkeypatch.setenv("ALERT_URL", one.url)
        monkeypatch.setenv("ALERT_SECRET", "a-secret-of-the-tests")
        monkeypatch.setenv("DEMUR_ADMIN_TOKEN", "a-token-of-the-tests-0123456789")
        yield one


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "alerts.yaml"
    hook = 'channels:\n  hook: {kind: webhook, url: "${ALERT_URL}", secret: "${ALERT_SECRET}"}\n'
    path.write_text(FILE.replace("channels:\n", hook))
    return path


def test_an_example_is_written_and_sound(demur: Demur, tmp_path: Path) -> None:
    path = tmp_path / "alerts.yaml"
    assert demur("alerts", "init", path).code == 0
    assert demur("alerts", "init", path).code == 2
    refused = demur("alerts", "check", path)
    assert refused.code == 2
    assert "line 11: channels.room.url: ALERT_WEBHOOK is not set" in refused.err

    settings = tmp_path / "serve.env"
    settings.write_text(
        "ALERT_WEBHOOK=https://example.org/hook\nALERT_WEBHOOK_SECRET=0123456789abcdef0\n"
        "SMTP_USER=demur\nSMTP_PASSWORD=secret-of-the-mail\n"
    )
    checked = demur("alerts", "check", path, "--env-file", settings)
    assert checked.code == 0, checked.err
    assert "Ladder duty: at once room, then after 5m ada by mail" in checked.out
    assert "secret-of-the-mail" not in checked.out
    values = json.loads(demur("alerts", "check", path, "--env-file", settings, "--json").out)
    assert {rule["name"] for rule in values["rules"]} > {"accuracy-low", "promise-broken"}
    assert demur("alerts", "list", "--rules").out.startswith("promise-broken (critical)")


def test_a_channel_is_tried_and_its_answer_told(demur: Demur, rules: Path, receiver: HttpReceiver) -> None:
    tried = demur("alerts", "test", rules, "hook")
    assert (tried.code, tried.err) == (0, "")
    assert tried.out.startswith("hook: delivered after ")
    (request,) = receiver.requests
    assert request.json()["kind"] == "test"

    receiver.behaviour = answers(500)
    refused = demur("alerts", "test", rules, "hook", "--json")
    assert refused.code == 2
    assert '"outcome": "refused"' in refused.out
    unknown = demur("alerts", "test", rules, "pigeon")
    assert "the channels of the file are hook, mail" in unknown.err


def test_what_fires_is_listed_and_seen_to(demur: Demur, receiver: HttpReceiver) -> None:
    at = ("--url", receiver.url)
    receiver.behaviour = answers(200, {"evaluated_at": NOON, "alerts": [ALERT], "silences": []})
    listed = demur("alerts", "list", *at).out
    assert "3f9c1a7be201  FIRING  warning  drift  bundle=demur:1" in listed
    assert "since 2025-12-01 12:00:00 UTC; told: ada by mail" in listed

    receiver.behaviour = answers(200, {**ALERT, "state": "escalated"})
    done = demur("alerts", "escalate", "3f9c", "--reason", "now", "--name", "Ben", *at)
    assert done.out == "3f9c1a7be201 (drift) is escalated.\n"
    sent = receiver.requests[-1]
    assert (sent.path, sent.json()) == ("/alerts/3f9c/escalate", {"name": "Ben", "reason": "now"})
    assert sent.headers["Authorization"] == "Bearer a-token-of-the-tests-0123456789"

    silence = {"id": "s1", "matchers": {"rule": "drift"}, "until": NOON, "name": "Ada", "reason": "known"}
    receiver.behaviour = answers(200, {**silence, "in_force": True})
    assert demur("alerts", "silence", "rule=drift", "--for", "2h", "--reason", "known", *at).code == 0
    assert receiver.requests[-1].json()["matchers"] == {"rule": "drift"}
    assert demur("alerts", "unsilence", "s1", "--reason", "over", *at).out.startswith(
        "silence s1 (rule=drift)"
    )


def test_faults_are_said_in_one_sentence(
    demur: Demur, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--url", receiver.url)
    problem = {
        "type": "urn:demur:problem:no-such-alert",
        "title": "Not Found",
        "status": 404,
        "detail": "there is none",
    }
    receiver.behaviour = answers(404, problem)
    refused = demur("alerts", "resolve", "nothing", "--reason", "over", *at)
    assert refused.code == 2
    assert "there is none" in refused.err
    assert "LABEL=PATTERN" in demur("alerts", "silence", "drift", "--for", "2h", "--reason", "x", *at).err
    receiver.behaviour = answers(200, "<html>a proxy</html>")
    assert "no answer of a demur service" in demur("alerts", "list", *at).err
    assert "must be like http://host:8001" in demur("alerts", "list", "--url", "nothing").err
    assert "cannot be reached" in demur("alerts", "list", "--url", "http://127.0.0.1:9").err
    monkeypatch.delenv("DEMUR_ADMIN_TOKEN")
    assert "DEMUR_ADMIN_TOKEN" in demur("alerts", "list", *at).err
