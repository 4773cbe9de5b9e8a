"""The page of the private port in a real browser: token, line-up, resets, audits and drift; with axe-core."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from fakes.drift_rows import reference_sample, sampled_rows, signal_rows
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import write_tiny_bundle
from fakes.waiting import eventually
from playwright.sync_api import Browser, Locator, Page, expect

from monitoring.drift.sample_folder import SampleFolder, drift_folder
from monitoring.drift.watch import DriftPolicy, DriftWatch

Images = Callable[..., bytes]
OpenPage = Callable[..., Page]
Scheme = Literal["light", "dark"]

ADMIN = "a-token-of-the-tests-0123456789"
SENDER = "a-sender-of-the-tests-0123456789"
JPEG = {"Content-Type": "image/jpeg"}
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]
SETTINGS: dict[str, Any] = {
    "workers": 1,
    "admin_port": 0,
    "admin_token": ADMIN,
    "feedback_tokens": f"tests={SENDER}",
    "audit_share": 1.0,
    "on_broken_promise": "abstain",
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    write_tiny_bundle(tmp_path / "bundles" / "july")
    write_tiny_bundle(tmp_path / "bundles" / "august", stages=1, name="other")
    write_tiny_bundle(tmp_path / "bundles" / "silent", feasible=False, name="silent")
    with ServiceProcess(tmp_path / "bundles" / "july", tmp_path / "data", **SETTINGS) as process:
        yield process


@pytest.fixture
def address(service: ServiceProcess) -> str:
    port = service.admin_port
    return f"http://127.0.0.1:{port}/"


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[OpenPage]:
    """`open_page(scheme, width)`; at the end the page has asked this port alone and said nothing wrong."""
    contexts, foreign, complaints = [], [], []

    def open_(scheme: Scheme = "light", width: int = 1280) -> Page:
        contexts.append(browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}))
        page = contexts[-1].new_page()
        own = urlsplit(address).netloc
        page.on("request", lambda sent: foreign.extend([sent.url] * (urlsplit(sent.url).netloc != own)))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.extend([said.text] * ("Security Policy" in said.text)))
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert (foreign, complaints) == ([], [])


def enter(page: Page, token: str = ADMIN) -> None:
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Enter").click()


def entered(page: Page) -> Page:
    enter(page)
    expect(page.locator("#monitors p").first).to_be_visible()
    expect(page.locator("#audits p").first).to_be_visible()
    return page


def check(page: Page, width: int) -> None:
    """No rule of axe is broken, and nothing is wider than the screen."""
    found: dict[str, Any] = Axe().run(page).response
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]] == []
    assert len(found["passes"]) > 5
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def line(page: Page, bundle: str) -> Locator:
    return page.locator("#lineup li").filter(has=page.locator("strong", has_text=re.compile(f"^{bundle}$")))


def answers(service: ServiceProcess, image: bytes, count: int) -> list[dict[str, Any]]:
    with service.client() as client:
        return [client.post("/predict", content=image, headers=JPEG).json() for _ in range(count)]


def break_the_promise(service: ServiceProcess, image: bytes) -> str:
    """Label enough answers as wrong; the label of the bundle that is suspended now."""
    labels = [
        {"request_id": one["request_id"], "label": 1 - one["label"]} for one in answers(service, image, 12)
    ]
    with service.client() as client:
        bearer = {"Authorization": f"Bearer {SENDER}"}
        client.post("/feedback/batch", json={"labels": labels}, headers=bearer).raise_for_status()

        def monitor() -> dict[str, Any]:
            return dict(client.get("/health").json()["monitors"][0])

        eventually(lambda: monitor()["suspended"])
        return str(monitor()["bundle"])


def write_a_conclusion(service: ServiceProcess, data: Path, brightness: float) -> None:
    with service.client() as client:
        bundle = client.get("/health").json()["bundle"]
    folder = SampleFolder(drift_folder(data, f"{bundle['name']}:{bundle['version']}"))
    folder.append(sampled_rows(signal_rows(260, 0, brightness=brightness), 1_790_000_000.0, seed=0))
    assert DriftWatch(folder, reference_sample(), DriftPolicy()).look(1_790_000_000.0) is not None


def test_without_the_token_nothing_is_asked_or_shown(open_page: OpenPage) -> None:
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url))
    expect(page.get_by_role("heading", level=2)).to_have_text(["Token of the private port"])
    page.wait_for_timeout(500)
    assert asked == []
    enter(page, "a token with spaces, and ü")
    expect(page.get_by_role("alert")).to_contain_text("visible ASCII characters")
    enter(page, "a-wrong-token-of-a-stranger")
    expect(page.get_by_role("alert")).to_have_text("This token is not accepted.")
    assert "july" not in page.content()


def test_a_token_is_forgotten_on_demand_and_by_a_reload(open_page: OpenPage) -> None:
    page = entered(open_page())
    expect(page.locator("#bundle")).to_contain_text("tiny")
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    page.get_by_role("button", name="Forget the token").click()
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    assert "july" not in page.content()
    entered(page)
    page.reload()
    expect(page.get_by_role("heading", level=2)).to_have_text(["Token of the private port"])
    assert "july" not in page.content()


def test_the_line_up_changes_only_after_a_question(open_page: OpenPage, address: str) -> None:
    page = entered(open_page())

    def champion() -> str:
        answer = httpx.get(f"{address}bundles", headers={"Authorization": f"Bearer {ADMIN}"})
        return str(answer.json()["active"])

    page.get_by_role("button", name="Verify august").click()
    expect(line(page, "august")).to_contain_text("Verified: other")
    page.get_by_role("button", name="Activate august").click()
    expect(dialog(page)).to_contain_text("Activate august?")
    page.keyboard.press("Escape")
    expect(dialog(page)).to_be_hidden()
    assert champion() == "july"
    page.get_by_role("button", name="Activate august").click()
    dialog(page).get_by_role("button", name="Activate").click()
    expect(line(page, "august").locator(".badge")).to_have_text("champion")
    expect(page.get_by_role("status").filter(has_text="is the champion.")).to_be_attached()
    page.get_by_role("button", name="Roll back to july").click()
    dialog(page).get_by_role("button", name="Roll back").click()
    expect(line(page, "july").locator(".badge")).to_have_text("champion")
    assert champion() == "july"


def test_a_refused_change_is_said_in_its_question(open_page: OpenPage) -> None:
    page = entered(open_page())
    page.get_by_role("button", name="Activate silent").click()
    dialog(page).get_by_role("button", name="Activate").click()
    expect(dialog(page).get_by_role("alert")).to_contain_text("would abstain on every image")
    dialog(page).get_by_label("Also if it would abstain on every image").check()
    dialog(page).get_by_role("button", name="Activate").click()
    expect(line(page, "silent").locator(".badge")).to_have_text("champion")


def test_challengers_are_set_changed_and_withdrawn(open_page: OpenPage) -> None:
    page = entered(open_page())
    page.get_by_role("button", name="Challenge august").click()
    dialog(page).get_by_role("button", name="Set").click()
    expect(line(page, "august").locator(".badge")).to_have_text("shadow")
    page.get_by_role("button", name="Change august").click()
    dialog(page).get_by_label("How").select_option("share")
    percent = dialog(page).get_by_label("Percent of the units")
    percent.fill("120")
    dialog(page).get_by_role("button", name="Set").click()
    expect(dialog(page)).to_be_visible()  # the browser says that it is too much
    percent.fill("25")
    dialog(page).get_by_role("button", name="Set").click()
    expect(line(page, "august").locator(".badge")).to_have_text("answers 25 % of the units")
    page.get_by_role("button", name="Refresh").click()
    expect(page.locator("#drift p")).to_have_text(2 * ["No reference: drift is off."])
    page.get_by_role("button", name="Withdraw august").click()
    dialog(page).get_by_role("button", name="Withdraw").click()
    expect(line(page, "august").locator(".badge")).to_have_count(0)


def test_an_experiment_is_started_changed_and_stopped(
    address: str, open_page: OpenPage, service: ServiceProcess
) -> None:
    bearer = {"Authorization": f"Bearer {ADMIN}"}
    challenged = httpx.put(f"{address}challengers/august", json={"share": 0.25}, headers=bearer, timeout=60)
    challenged.raise_for_status()
    page = entered(open_page("light", 390))
    experiments = page.locator("#experiments")

    def told(confirm: str, **fields: str) -> None:
        for label, value in {**fields, "Your name": "Ada", "Reason": "a <b>try</b>"}.items():
            dialog(page).get_by_label(label.replace("_", " ")).fill(value)
        dialog(page).get_by_role("button", name=confirm).click()
        expect(dialog(page)).to_have_count(0)

    page.get_by_role("button", name="Start an experiment").click()
    told("Start", Name_of_the_experiment="ramp")
    expect(experiments).to_contain_text("by Ada: A <b>try</b>. Stratum 0.")
    # The watch has looked once.
    expect(page.get_by_role("button", name="Refresh")).to_be_visible()
    eventually(lambda: httpx.get(f"{address}experiments", headers=bearer).json()["experiments"][0]["view"])
    page.get_by_role("button", name="Refresh").click()
    expect(experiments.get_by_role("table", name=None).first).to_contain_text("control")
    check(page, 390)
    page.get_by_role("button", name=re.compile("^Share of other:")).click()
    told("Change", Share_of_the_units_in="40")
    expect(experiments).to_contain_text("Stratum 1.")
    page.get_by_role("button", name="Refresh").click()
    page.get_by_role("button", name=re.compile("^Withdraw other:")).click()
    told("Withdraw")
    expect(experiments).to_contain_text("(request): A <b>try</b>.")
    page.get_by_role("button", name="Stop ramp").click()
    told("Stop")
    expect(experiments).to_contain_text(re.compile(r"ramp ended on .* by Ada"))
    expect(page.get_by_role("button", name="Start an experiment")).to_be_visible()


def test_a_broken_promise_is_shown_acknowledged_and_reset_with_name_and_reason(
    service: ServiceProcess, open_page: OpenPage, make_colour_image: Images, address: str
) -> None:
    label = break_the_promise(service, make_colour_image(1, 0.9))
    bearer = {"Authorization": f"Bearer {ADMIN}"}
    eventually(lambda: '"firing"' in httpx.get(f"{address}alerts", headers=bearer).text)
    page = entered(open_page())
    alerts = page.locator("#alerts")
    expect(alerts).to_contain_text("promise-broken firing")
    page.get_by_role("button", name="Acknowledge promise-broken").click()
    expect(dialog(page)).to_contain_text("nobody further on the ladder is told")
    dialog(page).get_by_label("Your name").fill("Ada")
    dialog(page).get_by_label("Reason").fill("I look at it")
    dialog(page).get_by_role("button", name="Acknowledge").click()
    expect(alerts).to_contain_text("promise-broken acknowledged")
    page.get_by_role("button", name="Silence promise-broken").click()
    dialog(page).get_by_label("For how long, as 30m, 2h or 1d").fill("for ever")
    dialog(page).get_by_label("Your name").fill("Ada")
    dialog(page).get_by_label("Reason").fill("it is known")
    dialog(page).get_by_role("button", name="Silence").click()
    expect(dialog(page).get_by_role("alert")).to_contain_text("it must be a duration")
    dialog(page).get_by_role("button", name="Cancel").click()
    monitors = page.locator("#monitors")
    expect(monitors.locator(".badge")).to_have_text("suspended")
    expect(monitors).to_contain_text("The promise is broken")
    expect(page.locator("#status")).to_contain_text("suspended")
    expect(monitors.get_by_role("row").filter(has_text="risk above the promise")).to_contain_text(
        "alarm since"
    )
    page.get_by_role("button", name=f"Reset {label}").click()
    dialog(page).get_by_role("button", name="Reset").click()
    expect(dialog(page)).to_be_visible()  # the browser asks for the name
    dialog(page).get_by_label("Your name").fill("Ada")
    dialog(page).get_by_label("Reason").fill("the <b>lens</b> was cleaned")
    dialog(page).get_by_role("button", name="Reset").click()
    expect(monitors).to_contain_text("by Ada: The <b>lens</b> was cleaned.")
    expect(page.get_by_role("button", name=f"Reset {label}")).to_have_count(0)
    eventually(lambda: answers(service, make_colour_image(1, 0.9), 1)[0]["decision"] == "answer")


def test_audits_are_shown_a_page_at_a_time_the_oldest_first(
    service: ServiceProcess, open_page: OpenPage, make_colour_image: Images
) -> None:
    given = [one["request_id"] for one in answers(service, make_colour_image(1, 0.9), 60)]
    page = open_page()
    eventually(lambda: httpx.get(f"{service.url}/health").json()["monitors"][0]["waiting"] == 60)
    entered(page)
    ids = page.locator("#audits tbody td:last-child")
    expect(ids).to_have_count(50)
    first = ids.all_inner_texts()
    assert first[0] == given[0]
    page.get_by_role("button", name="Next page").click()
    expect(ids).to_have_count(10)
    assert sorted(first + ids.all_inner_texts()) == sorted(given)
    expect(page.locator("#audits tbody th").first).to_have_text(re.compile(r"\d+ (second|minute)s?"))
    page.get_by_role("button", name="Back to the oldest").click()
    expect(ids).to_have_count(50)


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_every_state_of_the_page(
    service: ServiceProcess,
    open_page: OpenPage,
    make_colour_image: Images,
    tmp_path: Path,
    scheme: Scheme,
    width: int,
) -> None:
    page = open_page(scheme, width)
    check(page, width)
    enter(page, "wrong-wrong-wrong-wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    check(page, width)
    entered(page)
    check(page, width)
    write_a_conclusion(service, tmp_path / "data", 0.3)
    label = break_the_promise(service, make_colour_image(1, 0.9))
    page.get_by_role("button", name="Refresh").click()
    expect(page.locator("#drift")).to_contain_text("brightness went from")
    expect(page.locator("#monitors .badge")).to_have_text("suspended")
    check(page, width)
    page.get_by_role("button", name=f"Reset {label}").click()
    expect(dialog(page)).to_be_visible()
    check(page, width)
    dialog(page).get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Challenge august").click()
    check(page, width)
    dialog(page).get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Activate silent").click()
    dialog(page).get_by_role("button", name="Activate").click()
    expect(dialog(page).get_by_role("alert")).to_be_visible(timeout=60_000)
    check(page, width)


def test_a_service_that_has_gone_is_said(service: ServiceProcess, open_page: OpenPage) -> None:
    page = entered(open_page())
    service.stop()
    page.get_by_role("button", name="Refresh").click()
    expect(page.locator("#status")).to_have_text("not reached")
    expect(page.locator("#monitors")).to_have_text("The private port did not answer.")
    check(page, 1280)
