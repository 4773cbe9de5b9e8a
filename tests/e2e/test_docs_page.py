"""/docs in a real browser: every request can be tried, and nothing comes from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.service_process import ServiceProcess
from playwright.sync_api import Browser, FilePayload, Locator, Page, Route, expect

Images = Callable[..., bytes]


@pytest.fixture(scope="module")
def service(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ServiceProcess(tiny_bundle, tmp_path_factory.mktemp("service")) as process:
        yield process


@pytest.fixture
def page(browser: Browser, service: ServiceProcess) -> Iterator[Page]:
    """The page; at the end, every request went to the service, and the policy blocked nothing."""
    opened = browser.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    opened.on("request", lambda request: requests.append(request.url))
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(f"{service.url}/docs")
    expect(opened.locator("h1, h2").filter(has_text="demur").first).to_be_visible()
    yield opened
    opened.close()
    assert [url for url in requests if not url.startswith((service.url + "/", "data:", "blob:"))] == []
    assert complaints == []


def operation(page: Page, name: str) -> Locator:
    """An operation, opened."""
    found = page.locator(".opblock", has=page.locator(f'[data-path="{name}"]'))
    found.locator(".opblock-summary-control").click()
    return found


def executed(found: Locator) -> tuple[int, str]:
    """Status and body of the answer to a request that is tried."""
    found.get_by_role("button", name="Execute").click()
    live = found.locator(".live-responses-table .response")
    expect(live.locator(".response-col_status")).to_have_text(re.compile(r"\d{3}"))
    status = re.search(r"\d{3}", live.locator(".response-col_status").inner_text())
    assert status is not None
    return int(status[0]), live.locator(".response-col_description").inner_text()


@pytest.mark.parametrize("media_type", ["image/jpeg", "multipart/form-data"])
def test_an_image_can_be_sent(page: Page, make_colour_image: Images, media_type: str) -> None:
    predict = operation(page, "/predict")
    predict.locator(".opblock-section-request-body select").first.select_option(media_type)
    image: FilePayload = {
        "name": "red.jpg",
        "mimeType": "image/jpeg",
        "buffer": make_colour_image(1, 0.9),
    }
    predict.locator('input[type="file"]').set_input_files([image])
    status, body = executed(predict)
    assert status == 200
    assert '"decision": "answer"' in body


def test_a_label_can_be_sent_and_the_metrics_read(page: Page) -> None:
    status, body = executed(operation(page, "/feedback"))
    assert status == 202
    assert '"status": "accepted"' in body
    status, body = executed(operation(page, "/rolling"))
    assert status == 200
    assert '"label_coverage"' in body


def test_requests_stay_below_the_path_of_a_proxy(browser: Browser, service: ServiceProcess) -> None:
    sent: list[str] = []

    def from_service(route: Route) -> None:
        sent.append(route.request.url)
        route.fulfill(response=route.fetch(url=route.request.url.replace("/below/", "/")))

    opened = browser.new_page()
    opened.route("**/below/**", from_service)
    opened.goto(f"{service.url}/below/docs")
    status, _ = executed(operation(opened, "/feedback"))
    assert status == 202
    assert f"{service.url}/below/feedback" in sent
    opened.close()


def test_every_route_is_listed(page: Page) -> None:
    shown = set(page.locator(".opblock-summary-path").all_inner_texts())
    paths = {text.replace("\u200b", "") for text in shown}
    assert {"/predict", "/predict/batch", "/feedback", "/rolling", "/health", "/metrics"} <= paths
