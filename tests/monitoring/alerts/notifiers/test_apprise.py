"""Any service by apprise, in a process that can be ended."""

from __future__ import annotations

from collections.abc import Callable

from fakes.alert_messages import message
from fakes.http_receiver import answers, hangs, http_receiver

from monitoring.alerts.notifiers.channels import Channel

Make = Callable[..., Channel]
APPRISE = {"kind": "apprise", "url": "${ANYWHERE}", "timeout": 60}


def test_a_message_goes_out_by_its_url(channel: Make) -> None:
    with http_receiver(answers()) as receiver:
        url = receiver.url.replace("http://", "json://")
        said = channel(APPRISE, ANYWHERE=f"{url}/hook").send(message("m-5"))
        (request,) = receiver.requests
    assert said.outcome == "delivered", said
    assert "message m-5" in request.json()["message"]


def test_a_url_that_means_nothing_is_refused(channel: Make) -> None:
    assert channel(APPRISE, ANYWHERE="nonsense-of-no-scheme").send(message()).outcome == "refused"


def test_a_failure_says_nothing_for_certain_and_a_hang_ends_with_the_limit(channel: Make) -> None:
    with http_receiver(answers(500, "no")) as receiver:
        url = receiver.url.replace("http://", "json://")
        assert channel(APPRISE, ANYWHERE=url).send(message()).outcome == "unknown"
        receiver.behaviour = hangs
        said = channel({**APPRISE, "timeout": 3}, ANYWHERE=url).send(message())
    assert said.outcome == "unknown"
