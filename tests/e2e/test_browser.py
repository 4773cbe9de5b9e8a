"""The page in a real browser against a real service: with pointer and keyboard, and at a phone's width."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fakes.referenced_bundle import write_referenced_bundle
from fakes.service_process import ServiceProcess
from playwright.sync_api import Browser, FilePayload, Page, Route, expect

Images = Callable[..., bytes]

BLUE, RED = 0, 1
BY_A, BY_B, UNSURE = 0.9, 0.4, 0.05


@pytest.fixture(scope="module")
def service(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ServiceProcess(tiny_bundle, tmp_path_factory.mktemp("service")) as process:
        yield process


class Visit:
    """An open page with its requests and console messages."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        # The listeners are set first, because the browser registers them with a delay.
        page.on("filechooser", lambda chooser: None)
        page.goto(url)
        expect(page.locator("#status")).to_have_text("serving")

    @property
    def result(self) -> str:
        return self.page.locator("#result").inner_text()


@pytest.fixture
def visit(browser: Browser, service: ServiceProcess) -> Iterator[Callable[..., Visit]]:
    """`visit(width, height)` opens the page; at the end, every request of it went to the service."""
    contexts, visits = [], []

    def open_page(width: int = 1200, height: int = 900) -> Visit:
        contexts.append(browser.new_context(viewport={"width": width, "height": height}))
        visits.append(Visit(contexts[-1].new_page(), service.url))
        return visits[-1]

    yield open_page
    for context in contexts:
        context.close()
    for one in visits:
        elsewhere = [
            url
            for url in one.requests
            if not url.startswith((service.url + "/", "blob:" + service.url, "data:"))
        ]
        assert elsewhere == []
        assert one.complaints == []


def jpeg(image: bytes, name: str = "street.jpg") -> FilePayload:
    return {"name": name, "mimeType": "image/jpeg", "buffer": image}


def drop(page: Page, image: bytes) -> None:
    """Drop a file on the page, as a pointer would."""
    carried = page.evaluate_handle(
        """encoded => {
            const bytes = Uint8Array.from(atob(encoded), c => c.charCodeAt(0));
            const carried = new DataTransfer();
            carried.items.add(new File([bytes], "dropped.jpg", {type: "image/jpeg"}));
            return carried;
        }""",
        b64encode(image).decode(),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": carried})


def test_a_dropped_image_is_decided_and_explained(
    visit: Callable[..., Visit], make_colour_image: Images
) -> None:
    here = visit()
    expect(here.page.locator("#promise-text")).to_contain_text(
        "With 95 % confidence, at most 1 % of the answered"
    )
    drop(here.page, make_colour_image(RED, BY_A))
    word = here.page.locator("#result .word")
    expect(word).to_have_text("red")
    expect(word).to_have_class("word answer")
    assert "Stage A, the fast one, was confident enough to answer." in here.result
    assert "At most 1 % of the answered images are answered wrongly, with 95 % confidence." in here.result
    shown = re.search(r"probability of “red”\s+([\d.]+) %", here.result)
    assert shown is not None
    assert float(shown[1]) > 50
    here.page.locator("summary").click()
    for fact in ("prediction set\nred", "stage\nA", "confidence\n", "bundle\ntiny ", "request id\n"):
        assert fact in here.result


def test_a_doubt_about_the_calibration_images_stands_beside_the_promise(
    visit: Callable[..., Visit], make_colour_image: Images
) -> None:
    here = visit()
    doubt = (
        "It counts every image as independent; nobody has said whether images of one owner belong together."
    )

    def with_doubt(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        route.fulfill(response=answer, json=body | {"guarantee": body["guarantee"] | {"doubt": doubt}})

    here.page.route("**/predict", with_doubt)
    drop(here.page, make_colour_image(RED, BY_A))
    expect(here.page.locator("#result")).to_contain_text(f"with 95 % confidence. {doubt}")


def test_each_outcome_has_its_own_words_and_stays_among_the_recent_ones(
    visit: Callable[..., Visit], make_colour_image: Images
) -> None:
    here = visit()
    files = [
        jpeg(make_colour_image(BLUE, BY_A)),
        jpeg(make_colour_image(BLUE, BY_B)),
        jpeg(make_colour_image(BLUE, UNSURE)),
        jpeg(b"no image at all"),
    ]
    here.page.locator("#file").set_input_files(files)
    recent = here.page.locator("#recent button")
    expect(recent).to_have_count(4)
    newest_first = [text.split("\n")[:2] for text in recent.all_inner_texts()]
    assert newest_first[1:] == [
        ["for a person", "too close to call"],
        ["blue", "by stage B"],
        ["blue", "by stage A"],
    ]
    expect(here.page.locator("#result .word")).to_have_text("refused")
    assert "not an image" in here.result
    recent.nth(1).click()
    assert "Too close to call: it may be blue or red. A person should look." in here.result
    recent.nth(2).click()
    assert "stage B, the strong one, was confident enough to answer." in here.result
    # The browser itself logs a refused upload.
    here.complaints = [text for text in here.complaints if "status of 4" not in text]


def test_everything_can_be_done_by_keyboard_and_labels_move_the_figures(
    visit: Callable[..., Visit], make_colour_image: Images
) -> None:
    here = visit()
    for link in ("API", "Metrics", "Health"):
        here.page.keyboard.press("Tab")
        expect(here.page.get_by_role("link", name=link).first).to_be_focused()
    here.page.keyboard.press("Tab")
    expect(here.page.locator("#file")).to_be_focused()
    with here.page.expect_file_chooser() as chosen:
        here.page.keyboard.press("Enter")
    chosen.value.set_files([jpeg(make_colour_image(BLUE, strength)) for strength in (BY_A, BY_B)])
    expect(here.page.locator("#recent button")).to_have_count(2)
    expect(here.page.locator("#result .word")).to_have_text("blue")
    labels = here.page.locator("#result .labels button")
    here.page.locator("#file").focus()
    here.page.keyboard.press("Tab")
    expect(labels.nth(BLUE)).to_be_focused()
    here.page.keyboard.press("Enter")
    expect(labels.nth(BLUE)).to_have_attribute("aria-pressed", "true")
    expect(labels.nth(BLUE)).to_be_focused()
    accuracy = here.page.locator("#rolling tr", has_text="accuracy").locator("td")
    expect(accuracy.nth(0)).to_contain_text("100 %")
    for _ in range(3):
        here.page.keyboard.press("Tab")
    expect(here.page.locator("#recent button").first).to_be_focused()


def test_a_bundle_without_a_promise_says_that_it_may_not_answer(
    browser: Browser, make_tiny_bundle: Callable[..., Path], tmp_path: Path, make_colour_image: Images
) -> None:
    with ServiceProcess(make_tiny_bundle(feasible=False), tmp_path / "service", redis_url="off") as service:
        page = browser.new_page()
        page.goto(service.url)
        expect(page.locator("#promise-text")).to_contain_text("This bundle may not answer at all")
        page.set_input_files("#file", jpeg(make_colour_image(1, 1.0)))
        expect(page.locator("#result .word")).to_have_text("for a person")
        clear = "This bundle may not answer at all, however clear the image"
        expect(page.locator("#result")).to_contain_text(clear)
        page.close()


def test_labels_are_offered_to_those_with_a_token(
    browser: Browser, tiny_bundle: Path, tmp_path: Path, make_colour_image: Images
) -> None:
    tokens = "anna=the-token-of-anna"
    with ServiceProcess(tiny_bundle, tmp_path / "service", feedback_tokens=tokens) as service:
        page = browser.new_page(viewport={"width": 375, "height": 700})
        page.goto(service.url)
        expect(page.locator("#status")).to_have_text("serving")
        expect(page.locator("#label-access")).to_be_hidden()
        expect(page.locator("#commands")).to_contain_text("Authorization: Bearer TOKEN")
        page.locator("#file").set_input_files([jpeg(make_colour_image(RED, BY_A))])
        choice = page.locator("#result .labels")
        expect(choice.get_by_role("button", name="red")).to_have_count(0)
        field = choice.get_by_label("Token for labels")
        for wrong in ("a-token-that-is-wrong", "ein-tökén"):
            field.fill(wrong)
            field.press("Enter")
            if wrong.isascii():
                choice.get_by_role("button", name="red").click()
            expect(choice).to_contain_text("This token is not accepted.")
            expect(field).to_be_focused()
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        field.fill(" the-token-of-anna ")
        field.press("Enter")
        expect(choice.get_by_role("button", name="blue")).to_be_focused()
        # The key that confirms the token sends no label.
        page.wait_for_timeout(300)
        assert "saved" not in choice.inner_text()
        choice.get_by_role("button", name="red").click()
        expect(choice).to_contain_text("saved")
        expect(page.locator("#labels")).to_contain_text("1 of 1 predictions labelled")
        page.locator("#file").set_input_files([jpeg(make_colour_image(RED, BY_A))])
        expect(page.locator("#recent button")).to_have_count(2)
        expect(choice.get_by_role("button", name="red")).to_be_visible()
        page.close()


def test_open_labels_are_said(visit: Callable[..., Visit]) -> None:
    here = visit()
    expect(here.page.locator("#label-access")).to_contain_text(
        "Labels are open: anyone who reaches this port"
    )
    expect(here.page.locator("#commands")).not_to_contain_text("Authorization")


@pytest.mark.parametrize("width", [320, 375, 768])
def test_it_fits_a_narrow_screen(visit: Callable[..., Visit], make_colour_image: Images, width: int) -> None:
    here = visit(width, 700)
    here.page.locator("#file").set_input_files(
        [jpeg(make_colour_image(RED, strength)) for strength in (BY_A, UNSURE)]
    )
    expect(here.page.locator("#recent button")).to_have_count(2)
    here.page.locator("summary").click()
    assert here.page.evaluate("document.documentElement.scrollWidth") <= width
    for button in here.page.locator("button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 40
        assert box["x"] + box["width"] <= width


def test_whether_the_promise_holds_is_said(visit: Callable[..., Visit], service: ServiceProcess) -> None:
    (monitor,) = httpx.get(f"{service.url}/health").json()["monitors"]
    assert monitor["sentence"].startswith("Nothing says whether the promise holds")
    expect(visit().page.locator("#watch")).to_have_text(monitor["sentence"])


def test_drift_is_said_where_the_bundle_has_a_reference(
    browser: Browser, visit: Callable[..., Visit], tmp_path: Path
) -> None:
    expect(visit().page.locator("#drift")).to_be_hidden()
    bundle = write_referenced_bundle(tmp_path / "bundle")
    with ServiceProcess(bundle, tmp_path / "service") as service:
        page = browser.new_page()
        page.goto(service.url)
        expect(page.locator("#drift")).to_have_text(
            "Nothing is concluded about drift yet: 0 of 250 images are there."
        )
        page.close()


def test_faults_and_challengers_are_shown(
    browser: Browser, tiny_bundle: Path, make_tiny_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "events").write_text("a file where a folder should be")
    share, shadow = make_tiny_bundle(name="other", stages=1), make_tiny_bundle(name="third", feasible=False)
    challengers = f"{share}=0.1,{shadow}=shadow"
    with ServiceProcess(tiny_bundle, folder, challengers=challengers) as service:
        page = browser.new_page()
        page.goto(service.url)
        expect(page.locator("#status")).to_have_text("serving, its event log cannot be written")
        expect(page.locator("#beside")).to_contain_text("other")
        expect(page.locator("#beside")).to_contain_text("answers 10 % of the units; third")
        expect(page.locator("#beside")).to_contain_text("as a shadow, which never answers.")
        page.close()


def test_a_lost_service_is_shown(
    browser: Browser, tiny_bundle: Path, tmp_path: Path, make_colour_image: Images
) -> None:
    with ServiceProcess(tiny_bundle, tmp_path / "service", redis_url="off") as service:
        page = browser.new_page()
        page.goto(service.url)
        expect(page.locator("#status")).to_have_text("serving, without its store")
    expect(page.locator("#status")).to_have_text("not reached")
    page.locator("#file").set_input_files([jpeg(make_colour_image(RED, BY_A))])
    expect(page.locator("#result")).to_contain_text("The service did not answer.")
    page.close()


def test_the_figures_are_live_and_follow_the_chosen_window(
    browser: Browser, tiny_bundle: Path, tmp_path: Path, make_colour_image: Images
) -> None:
    """The page asks for nothing after it has loaded; whatever another client does comes to it."""
    with ServiceProcess(tiny_bundle, tmp_path, windows="2,4") as service, httpx.Client() as other:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        here = Visit(page, service.url)
        for number, label in enumerate((RED, RED, BLUE, RED)):
            other.post(
                f"{service.url}/predict",
                content=make_colour_image(RED if number else BLUE, BY_A),
                headers={"Content-Type": "image/jpeg", "X-Request-Id": f"r{number}"},
            )
            other.post(f"{service.url}/feedback", json={"request_id": f"r{number}", "label": label})
        accuracy = page.locator("#rolling tr", has_text="accuracy").locator("td").first
        expect(accuracy).to_have_text("50\u00a0%15\u00a0–\u00a085\u00a0%")
        page.locator("#window").select_option("2")
        expect(accuracy).to_have_text("50\u00a0%9.5\u00a0–\u00a090.5\u00a0%")
        recall = page.locator("#rolling tr", has_text="recall of “red”").locator("td").first
        expect(recall).to_contain_text("100")
        page.locator("#scope").select_option("total")
        expect(page.locator("#labels")).to_contain_text("4 of 4 predictions labelled")
        assert [url.rpartition("/")[2] for url in here.requests] == ["", "live"]
        assert here.complaints == []
        service.stop()
        expect(page.locator("#status")).to_have_text("not reached")
        page.close()


def test_a_page_without_a_place_among_the_listeners_asks_instead(
    browser: Browser, tiny_bundle: Path, tmp_path: Path
) -> None:
    with ServiceProcess(tiny_bundle, tmp_path, live_listeners=0) as service:
        page = browser.new_page()
        page.goto(service.url)
        expect(page.locator("#status")).to_have_text("serving")
        expect(page.locator("#labels")).to_contain_text("0 of 0 predictions labelled")
        page.close()
