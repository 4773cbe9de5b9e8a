"""Labels with a token through the whole service: audits fetched, labelled as a batch, and counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import ABSTAINED, ANSWERED_BY_A
from fakes.waiting import eventually

from demur.client.client import Client, Problem, Refused

Images = Callable[..., bytes]
ADMIN, ANNA = "a-token-for-the-tests", "the-token-of-anna"


@pytest.fixture(scope="module")
def service(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    settings = {
        "workers": 2,
        "cores": 1,
        "admin_port": 0,
        "admin_token": ADMIN,
        "feedback_tokens": f"anna={ANNA}",
        "audit_share": 1.0,
    }
    with ServiceProcess(tiny_bundle, tmp_path_factory.mktemp("service"), **settings) as running:
        yield running


@pytest.fixture
def admin_url(service: ServiceProcess) -> str:
    port = service.admin_port
    return f"http://127.0.0.1:{port}"


def test_a_tool_fetches_its_work_and_sends_the_labels(
    service: ServiceProcess, admin_url: str, make_colour_image: Images
) -> None:
    with Client(service.url) as camera:
        for number in range(6):
            strength = ABSTAINED if number == 5 else ANSWERED_BY_A
            camera.predict(make_colour_image(1, strength), request_id=f"r{number}", unit_id=f"cam-{number}")
    with Client(admin_url, token=ANNA) as work, Client(service.url, token=f"{ANNA}\n") as labels:
        eventually(lambda: len(list(work.audits())) == 5)
        waiting = list(work.audits())
        assert {one.request_id for one in waiting} == {f"r{number}" for number in range(5)}
        assert {one.unit_id for one in waiting} == {f"cam-{number}" for number in range(5)}
        bundle = waiting[0].bundle
        assert bundle.startswith("tiny:")
        assert len(list(work.audits(bundle=bundle))) == 5
        assert list(work.audits(bundle="tiny:another")) == []
        answers = labels.feedback_batch([*((one.request_id, "red") for one in waiting), ("r5", float("nan"))])
        assert answers[:5] == (None,) * 5
        assert isinstance(answers[5], Problem)
        assert (answers[5].kind, answers[5].field) == ("invalid-field", "labels[5].label")
        eventually(lambda: list(work.audits()) == [])
        eventually(lambda: labels.rolling().labelled == 5)
        with pytest.raises(Refused, match="401"):
            next(Client(admin_url, token="x" * 20).audits())


@pytest.mark.parametrize("token", [None, "a-token-that-is-wrong"])
def test_without_its_token_nothing_is_labelled(service: ServiceProcess, token: str | None) -> None:
    with Client(service.url, token=token) as stranger:
        for send in (lambda: stranger.feedback("r5", 1), lambda: stranger.feedback_batch([("r5", 1)])):
            with pytest.raises(Refused) as refusal:
                send()
            assert (refusal.value.problem.status, refusal.value.problem.kind) == (401, "unauthorized")


def test_no_token_is_in_a_log(service: ServiceProcess) -> None:
    said = json.dumps(service.logs())
    assert ANNA not in said
    assert ADMIN not in said


@pytest.mark.parametrize("token", ["two\nlines-of-a-token", "with a space in it", "mit-ümlaut-und-mehr", ""])
def test_a_token_that_no_header_can_carry_is_refused_at_once(token: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        Client("http://127.0.0.1:1", token=token)
