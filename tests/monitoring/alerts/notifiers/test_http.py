"""What every channel over HTTP has in common: limits of time and size, redirects, broken connections."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Callable

import pytest
from fakes.http_receiver import (
    Behaviour,
    answers,
    hangs,
    hangs_up,
    http_receiver,
    talks_without_end,
    trickles_its_body,
    trickles_its_head,
)
from fakes.smtp_sink import Certificates
from fakes.waiting import eventually

from monitoring.alerts.notifiers.http import MOST_BYTES, NoAnswer, deliver, post
from monitoring.alerts.notifiers.time_limit import NotReached


@pytest.mark.parametrize("behaviour", [hangs, trickles_its_head, trickles_its_body])
def test_the_time_limit_holds_for_everything_together(behaviour: Behaviour) -> None:
    with http_receiver(behaviour) as receiver:
        with pytest.raises(NoAnswer, match=r"within 1 s"):
            post(receiver.url, b"{}", {}, 1.0)
        eventually(lambda: len(receiver.requests) == 1)


def test_a_connection_that_breaks_is_no_answer() -> None:
    with http_receiver(hangs_up) as receiver:
        assert deliver(receiver.url, b"{}", {}, 60).outcome == "unknown"


def test_five_megabytes_cost_no_memory() -> None:
    with http_receiver(talks_without_end) as receiver:
        gc.collect()
        tracemalloc.start()
        answer = post(receiver.url, b"{}", {}, 60)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(answer.body) == MOST_BYTES
        assert len(answer.excerpt) <= 120
    # The receiver is a part of this process, and writes in pieces of 64 kB.
    assert peak < 500_000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    with http_receiver(answers()) as other, http_receiver(answers(status, "", Location=other.url)) as first:
        said = deliver(first.url, b"{}", {"Authorization": "Basic c2VjcmV0"}, 5)
        assert other.requests == []
    assert (said.outcome, said.final) == ("refused", False)
    assert "redirects are not followed" in said.detail


@pytest.mark.parametrize(
    ("status", "final"),
    [
        (400, True),
        (413, True),
        (422, True),
        (401, False),
        (403, False),
        (404, False),
        (429, False),
        (503, False),
    ],
)
def test_a_refusal_of_the_message_is_final_and_one_of_the_channel_is_not(status: int, final: bool) -> None:
    with http_receiver(answers(status, "no", Retry_After="7")) as receiver:
        said = deliver(receiver.url, b"{}", {}, 60)
    assert (said.outcome, said.final, said.retry_after) == ("refused", final, 7.0)


@pytest.mark.parametrize("body", [{"ok": False}, {"error": "no"}, {"success": False}, {"errors": ["no"]}])
def test_an_error_inside_of_200_is_refused(body: dict[str, object]) -> None:
    with http_receiver(answers(200, body)) as receiver:
        assert deliver(receiver.url, b"{}", {}, 60).outcome == "refused"


@pytest.mark.parametrize("body", [{"ok": True}, {"id": 7}, {"error": None}, "thank you", ""])
def test_any_other_200_is_delivered(body: dict[str, object] | str) -> None:
    with http_receiver(answers(200, body)) as receiver:
        assert deliver(receiver.url, b"{}", {}, 60).outcome == "delivered"


def test_a_host_that_is_not_there_got_nothing() -> None:
    for url, why in (("http://127.0.0.1:1", "refused"), ("http://nowhere.invalid", "not found")):
        with pytest.raises(NotReached, match=why):
            post(url, b"{}", {}, 60)


def test_an_unknown_certificate_is_refused_and_a_known_one_is_not(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http_receiver(answers(), certificates.server) as receiver:
        with pytest.raises(NotReached, match="certificate"):
            post(receiver.url, b"{}", {}, 60)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_file))
        assert post(receiver.url, b"{}", {}, 60).status == 200


def test_a_look_up_that_hangs_ends_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    slow: Callable[..., object] = lambda *args, **kwargs: threading.Event().wait()  # noqa: E731
    monkeypatch.setattr("monitoring.alerts.notifiers.time_limit.socket.getaddrinfo", slow)
    with pytest.raises(NotReached, match=r"not found within 0\.2 s"):
        post("http://slow.example", b"{}", {}, 0.2)
