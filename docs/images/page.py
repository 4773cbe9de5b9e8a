"""Draw docs/images/page.png: the page of a running demo, with labels sent back and three images decided.

make demo                       # in one terminal
python docs/images/page.py      # in another; needs Chromium
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import FilePayload, expect, sync_playwright

from demur.client import Client
from trainer.scenes.generate import iter_frames
from trainer.scenes.options import Frame, SceneOptions

OUT = Path(__file__).with_suffix(".png")
LABELLED = 120
"""Scenes whose label is sent back before the page is opened."""
MOST = 2_000
"""Scenes that are tried until all three kinds of decision have been seen."""
KINDS = ("abstain", "no roadwork", "roadwork")
"""Decisions to show; the last one is shown large, and comes from stage B."""


def kind_of(client: Client, frame: Frame) -> str | None:
    """The kind of decision on a frame; None for an answer "roadwork" by stage A."""
    prediction = client.predict(frame.jpeg)
    if prediction.decision == "abstain":
        return "abstain"
    if prediction.label == 0:
        return "no roadwork"
    return "roadwork" if prediction.stage == "B" else None


def choose(url: str) -> dict[str, Frame]:
    """One frame per kind of decision, after labels for the first frames were sent back."""
    chosen: dict[str, Frame] = {}
    options = SceneOptions(sequences=MOST, seed=2_000_003, difficulty=0.35)
    with Client(url) as client:
        for number, frame in enumerate(iter_frames(options)):
            if number < LABELLED:
                client.feedback(client.predict(frame.jpeg).request_id, int(frame.label))
                continue
            kind = kind_of(client, frame)
            if kind is not None:
                chosen.setdefault(kind, frame)
            if len(chosen) == len(KINDS):
                break
    return chosen


def draw(url: str, frames: list[Frame]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(url)
        for number, frame in enumerate(frames):
            photo = FilePayload(name=f"scene-{number}.jpg", mimeType="image/jpeg", buffer=frame.jpeg)
            page.locator("#file").set_input_files([photo])
            expect(page.locator("#recent button")).to_have_count(number + 1)
        page.locator("#result .labels button").last.click()  # its true label, class 1
        page.wait_for_timeout(3_000)  # the label has to reach the figures
        page.screenshot(path=OUT, full_page=True)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8000")
    given = parser.parse_args()
    chosen = choose(given.url)
    draw(given.url, [chosen[kind] for kind in KINDS if kind in chosen])


if __name__ == "__main__":
    main()
