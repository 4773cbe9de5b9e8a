"""GET /rolling: windows of any size, of one bundle or of all, in one process."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.tiny_bundle import ABSTAINED, ANSWERED_BY_A, ANSWERED_BY_B
from fakes.waiting import eventually
from starlette.testclient import TestClient

from monitoring.events import FeedbackEvent, PredictionEvent
from monitoring.windows.rolling import RollingWindows
from service.app import create_app
from service.settings import Settings

Images = Callable[..., bytes]
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture
def three_sizes(make_client: Callable[..., TestClient], valkey_url: str) -> TestClient:
    return make_client(redis_url=valkey_url, model=f"m-{uuid.uuid4().hex}", windows="2,4,100")


def send(client: TestClient, request_id: str, image: bytes, label: int) -> None:
    headers = {**JPEG, "X-Request-Id": request_id}
    assert client.post("/predict", content=image, headers=headers).status_code == 200
    assert client.post("/feedback", json={"request_id": request_id, "label": label}).status_code == 202


def test_each_window_has_every_figure_with_its_interval(
    three_sizes: TestClient, make_colour_image: Images
) -> None:
    sent = ((1, ANSWERED_BY_A, 1), (1, ANSWERED_BY_B, 0), (0, ANSWERED_BY_A, 0), (1, ABSTAINED, 1))
    for number, (shown, strength, label) in enumerate(sent):
        send(three_sizes, f"r{number}", make_colour_image(shown, strength), label)
    eventually(lambda: three_sizes.get("/rolling").json()["labelled"] == 4)
    body = three_sizes.get("/rolling").json()
    windows = {window["size"]: window for window in body["windows"]}
    assert list(windows) == [2, 4, 100]
    figures = windows[4]["all"]
    assert figures["n"] == 4
    assert {name: figures[name]["value"] for name in ("accuracy", "precision", "recall", "specificity")} == {
        "accuracy": 0.75,
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "specificity": 0.5,
    }
    assert all(
        -1 <= figures[name]["low"] <= figures[name]["value"] <= figures[name]["high"] <= 1
        for name in ("accuracy", "mcc", "precision", "recall", "specificity")
    )
    assert windows[100]["answered"]["n"] == 3
    decided = windows[4]["decided"]
    assert (decided["n"], decided["coverage"]["value"], decided["stage_b"]["value"]) == (4, 0.75, 0.5)
    # The last two are right: a 0 and a 1.
    assert windows[2]["all"]["mcc"]["value"] == 1.0
    assert windows[2]["answered"]["specificity"]["value"] == 0.5
    assert body["total"]["windows"] == body["windows"]
    assert body["bundles"] == [body["bundle"]]


def test_a_zero_denominator_has_its_reason(three_sizes: TestClient, make_colour_image: Images) -> None:
    send(three_sizes, "r", make_colour_image(1, ANSWERED_BY_A), 1)
    eventually(lambda: three_sizes.get("/rolling").json()["labelled"] == 1)
    (window,) = three_sizes.get("/rolling", params={"window": 4}).json()["windows"]
    assert window["all"]["specificity"] == {
        "value": None,
        "low": 0.0,
        "high": 1.0,
        "reason": "every label in the window is 1",
    }
    assert window["all"]["mcc"]["value"] == 0.0
    assert window["all"]["mcc"]["reason"] == "every label in the window is 1"


def test_an_empty_service_has_reasons_and_no_numbers(three_sizes: TestClient) -> None:
    eventually(lambda: three_sizes.get("/rolling").status_code == 200)
    body = three_sizes.get("/rolling").json()
    for window in body["windows"]:
        for series in ("all", "answered"):
            figures = {name: figure for name, figure in window[series].items() if isinstance(figure, dict)}
            assert {figure["reason"] for figure in figures.values()} == {"no labelled prediction yet"}
        assert window["decided"]["coverage"]["reason"] == "no prediction yet"
    assert body["bundles"] == []


@pytest.mark.parametrize(("asked", "shown"), [([4], [4]), ([100, 2], [2, 100]), ([], [2, 4, 100])])
def test_the_windows_that_are_asked_for(three_sizes: TestClient, asked: list[int], shown: list[int]) -> None:
    body = three_sizes.get("/rolling", params={"window": asked}).json()
    assert [window["size"] for window in body["windows"]] == shown
    assert [window["size"] for window in body["total"]["windows"]] == shown


@pytest.mark.parametrize("size", ["10", "0", "-2", "4.0", "x", "", "9" * 5000, "\u0664"])
def test_a_size_that_no_window_has_is_refused(three_sizes: TestClient, size: str) -> None:
    answer = three_sizes.get("/rolling", params={"window": size})
    body = answer.json()
    assert (answer.status_code, body["field"], body["limit"]) == (422, "window", [2, 4, 100])
    assert body["value"] == size[:64]


class TestBundles:
    @pytest.fixture
    def client(self, make_client: Callable[..., TestClient], valkey_url: str) -> TestClient:
        """With an earlier bundle in the store, which does not serve any more."""
        model = f"m-{uuid.uuid4().hex}"
        earlier = PredictionEvent("old", "earlier:1", 1, 1, "A", 1.0, 0.9, at=1000.0)
        windows = RollingWindows.at(valkey_url, model)
        windows.apply([earlier, FeedbackEvent("old", 0, at=1001.0)])
        windows.close()
        return make_client(redis_url=valkey_url, model=model)

    def rolling(self, client: TestClient, **parameters: str) -> dict[str, Any]:
        body: dict[str, Any] = client.get("/rolling", params=parameters).json()
        return body

    def test_a_bundle_that_has_served_is_known(self, client: TestClient) -> None:
        body = self.rolling(client, bundle="earlier:1")
        assert (body["bundle"], body["predictions"], body["labelled"]) == ("earlier:1", 1, 1)
        assert body["bundles"] == ["earlier:1"]

    def test_the_total_is_over_all_of_them(self, client: TestClient, make_colour_image: Images) -> None:
        send(client, "new", make_colour_image(1, ANSWERED_BY_A), 1)
        eventually(lambda: self.rolling(client, bundle="total")["labelled"] == 2)
        body = self.rolling(client, bundle="total")
        assert body["windows"][0]["all"]["accuracy"]["value"] == 0.5
        own = self.rolling(client)
        assert (own["labelled"], own["total"]["labelled"]) == (1, 2)
        assert own["bundles"] == ["earlier:1", own["bundle"]]

    def test_a_bundle_that_has_never_served_is_refused_with_those_that_have(self, client: TestClient) -> None:
        answer = client.get("/rolling", params={"bundle": "never:1"})
        assert (answer.status_code, answer.json()["field"]) == (404, "bundle")
        assert "earlier:1" in answer.json()["limit"]


def test_gauges_of_every_window(three_sizes: TestClient, make_colour_image: Images) -> None:
    send(three_sizes, "r", make_colour_image(1, ANSWERED_BY_A), 1)
    eventually(lambda: three_sizes.get("/rolling").json()["labelled"] == 1)
    bundle = three_sizes.get("/rolling").json()["bundle"]

    def scrape() -> str:
        return three_sizes.get("/metrics").text

    shown = f'demur_window_recall{{bound="value",bundle="{bundle}",series="all",window="4"}} 1.0'
    eventually(lambda: shown in scrape())
    text = scrape()
    assert 'demur_window_coverage{bound="value",bundle="total",window="100"} 1.0' in text
    assert f'demur_window_labelled{{bundle="{bundle}",series="answered",window="2"}} 1.0' in text
    assert f'demur_window_specificity{{bound="high",bundle="{bundle}",series="all",window="2"}} NaN' in text


def test_other_sizes_are_filled_from_the_log(
    tiny_bundle: Path, valkey_url: str, make_colour_image: Images, tmp_path: Path
) -> None:
    def service(windows: str) -> TestClient:
        settings = {
            "bundle": tiny_bundle,
            "redis_url": valkey_url,
            "data_dir": tmp_path,
            "model": tmp_path.name,
        }
        return TestClient(create_app(Settings.read({}, windows=windows, **settings)))

    def labelled(client: TestClient) -> int:
        body: dict[str, Any] = client.get("/rolling").json()
        return int(body.get("labelled", -1))

    with service("10,100") as client:
        for number in range(4):
            send(client, f"r{number}", make_colour_image(1, ANSWERED_BY_A), int(number > 0))
        eventually(lambda: labelled(client) == 4)
        before = client.get("/rolling").json()
    with service("3") as client:
        eventually(lambda: labelled(client) == 4)
        after = client.get("/rolling").json()
    assert [window["size"] for window in after["windows"]] == [3]
    assert after["windows"][0]["all"]["accuracy"]["value"] == 1.0
    for name in ("all", "answered", "predictions", "labelled", "bundles"):
        assert after[name] == before[name]


def test_the_monitors_find_their_items_under_any_sizes(
    make_client: Callable[..., TestClient], valkey_url: str, make_colour_image: Images
) -> None:
    """Items stand under the sizes of the windows, so every reader must know them."""
    client = make_client(
        redis_url=valkey_url, model=f"m-{uuid.uuid4().hex}", windows="3", audit_share=1.0, audit_wait=3600
    )
    for number in range(3):
        send(client, f"r{number}", make_colour_image(1, ANSWERED_BY_A), 1)
    eventually(lambda: client.get("/health").json()["monitors"][0]["audits"] == 3)
    labelled = 'demur_audits_total{bundle="tiny'
    eventually(lambda: labelled in client.get("/metrics").text)
