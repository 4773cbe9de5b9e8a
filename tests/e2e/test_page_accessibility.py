"""The page under axe-core, in every state that it can show: light and dark, wide and at a phone's width."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from fakes.service_process import ServiceProcess
from playwright.sync_api import Browser, FilePayload, Page, Route, expect

Images = Callable[..., bytes]
Scheme = Literal["light", "dark"]

RED, BY_A, BY_B, UNSURE = 1, 0.9, 0.4, 0.05
TOKEN = "the-token-of-anna"
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]


@pytest.fixture(scope="module")
def service(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ServiceProcess(tiny_bundle, tmp_path_factory.mktemp("service")) as process:
        yield process


@pytest.fixture(scope="module")
def silent_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A bundle without a promise, without a store; labels need a token."""
    from fakes.tiny_bundle import write_tiny_bundle

    folder = tmp_path_factory.mktemp("silent")
    bundle = write_tiny_bundle(folder / "bundle", feasible=False)
    settings = {"redis_url": "off", "feedback_tokens": f"anna={TOKEN}"}
    with ServiceProcess(bundle, folder / "service", **settings) as process:
        yield process


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[[str, Scheme, int], Page]]:
    contexts = []

    def open_(url: str, scheme: Scheme, width: int) -> Page:
        contexts.append(browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}))
        page = contexts[-1].new_page()
        page.goto(url)
        expect(page.locator("#status")).to_contain_text("serving")
        expect(page.locator("#labels")).not_to_be_empty()
        return page

    yield open_
    for context in contexts:
        context.close()


def photo(content: bytes, name: str = "street.jpg") -> FilePayload:
    return {"name": name, "mimeType": "image/jpeg", "buffer": content}


def check(page: Page, width: int) -> None:
    """No rule of axe is broken, and nothing is wider than the screen."""
    results: dict[str, Any] = Axe().run(page).response
    broken = [
        (rule["id"], rule["help"], [node["html"] for node in rule["nodes"]]) for rule in results["violations"]
    ]
    assert broken == []
    assert len(results["passes"]) > 10
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_every_state_of_the_page(
    service: ServiceProcess,
    open_page: Callable[[str, Scheme, int], Page],
    make_colour_image: Images,
    scheme: Scheme,
    width: int,
) -> None:
    page = open_page(service.url, scheme, width)
    check(page, width)

    def send(*contents: bytes) -> None:
        seen = page.locator("#recent button").count()
        page.set_input_files("#file", [photo(content) for content in contents])
        expect(page.locator("#recent button")).to_have_count(seen + len(contents))

    send(make_colour_image(RED, BY_A))
    page.locator("summary").click()
    check(page, width)
    page.locator("#result .labels button").nth(RED).click()
    expect(page.locator("#result .labels button").nth(RED)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#table")).to_be_visible()
    check(page, width)
    send(make_colour_image(RED, UNSURE))
    expect(page.locator("#result .word")).to_have_class("word abstain")
    check(page, width)
    send(b"no image at all")
    expect(page.locator("#result .word")).to_have_class("word problem")
    check(page, width)
    send(*(make_colour_image(RED, strength) for strength in (BY_A, BY_B, UNSURE)))
    page.locator("#recent button").nth(2).click()
    check(page, width)


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_without_a_promise_and_without_a_store(
    silent_service: ServiceProcess,
    open_page: Callable[[str, Scheme, int], Page],
    make_colour_image: Images,
    scheme: Scheme,
    width: int,
) -> None:
    page = open_page(silent_service.url, scheme, width)
    expect(page.locator("#status")).to_have_text("serving, without its store")
    expect(page.locator("#can-answer")).to_be_hidden()
    expect(page.locator("#legend")).to_contain_text("Every image, however clear.")
    check(page, width)
    page.set_input_files("#file", [photo(make_colour_image(RED, BY_A))])
    expect(page.locator("#result .word")).to_have_text("for a person")
    token = page.get_by_label("Token for labels")
    expect(token).to_be_visible()
    check(page, width)
    token.fill(TOKEN)
    token.press("Enter")
    page.locator("#result .labels button").first.click()
    expect(page.locator("#result .labels")).to_contain_text("store")
    check(page, width)


DOUBT = "It holds if images of one owner are independent of each other, which nobody has confirmed."
NAMES = [f"class {number}" for number in range(11)]


def many_classes_and_a_doubt(route: Route) -> None:
    """The answer of the service, with more classes than it has, and a doubt about its promise."""
    answer = route.fetch()
    body = answer.json()
    if "classes" in body:
        body["classes"] = NAMES
        body["guarantee"]["doubt"] = DOUBT
    elif "probability" in body:
        body["probabilities"] = [0.02] * 9 + [0.5, 0.32]
        body["guarantee"]["doubt"] = DOUBT
    route.fulfill(response=answer, json=body)


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_many_classes_and_a_doubted_promise(
    service: ServiceProcess,
    open_page: Callable[[str, Scheme, int], Page],
    make_colour_image: Images,
    scheme: Scheme,
    width: int,
) -> None:
    page = open_page(service.url, scheme, width)
    for path in ("health", "predict"):
        page.route(f"**/{path}", many_classes_and_a_doubt)
    # Without a place among the listeners the page asks for the state itself.
    page.route("**/live", lambda route: route.fulfill(status=503))
    page.reload()
    expect(page.locator("#doubt")).to_have_text(DOUBT)
    page.set_input_files("#file", [photo(make_colour_image(RED, BY_A))])
    expect(page.locator("#result .guarantee")).to_contain_text("with 95 % confidence.")
    assert page.locator("main").inner_text().count(DOUBT) == 1
    page.set_input_files("#file", [photo(make_colour_image(RED, UNSURE))])
    expect(page.locator("#result .word")).to_have_text("for a person")
    shown = page.locator("#result .chances strong")
    assert [text.removesuffix(" %") for text in shown.all_inner_texts()] == ["50", "32", "2", "2", "2"]
    label = page.get_by_role("combobox", name="True label")
    assert label.locator("option").all_inner_texts() == ["choose", *NAMES]
    label.select_option("class 1")
    expect(page.locator("#result .labels")).to_contain_text("saved")
    check(page, width)
    # The page asks for the state of the service every other second, also while it closes.
    page.unroute_all(behavior="ignoreErrors")


def test_a_file_that_is_no_image_is_refused_in_plain_words(
    service: ServiceProcess, open_page: Callable[[str, Scheme, int], Page]
) -> None:
    page = open_page(service.url, "light", 1280)
    page.set_input_files("#file", [{"name": "notes.txt", "mimeType": "text/plain", "buffer": b"notes"}])
    expect(page.locator("#result")).to_contain_text("The bytes are not an image")
    expect(page.locator("#picture")).to_contain_text("no picture")


def test_the_outcome_is_announced(
    service: ServiceProcess, open_page: Callable[[str, Scheme, int], Page], make_colour_image: Images
) -> None:
    page = open_page(service.url, "light", 1280)
    said = page.get_by_role("status").filter(has_text="street.jpg")
    page.set_input_files("#file", [photo(make_colour_image(RED, BY_A))])
    expect(said).to_have_text("street.jpg: red, by stage A")
    page.set_input_files("#file", [photo(make_colour_image(RED, UNSURE))])
    expect(said).to_have_text("street.jpg: for a person, too close to call")


def test_no_sentence_is_said_twice(
    silent_service: ServiceProcess, open_page: Callable[[str, Scheme, int], Page], make_colour_image: Images
) -> None:
    page = open_page(silent_service.url, "light", 1280)
    page.set_input_files("#file", [photo(make_colour_image(RED, BY_A))])
    expect(page.locator("#result .word")).to_have_text("for a person")
    sentences = [part.strip() for part in page.locator("main").inner_text().replace("\n", ". ").split(". ")]
    long = [sentence for sentence in sentences if len(sentence) > 30]
    assert len(long) == len(set(long))
    promise = page.locator("#promise").inner_text()
    assert promise.count("promise of at most") == 1
