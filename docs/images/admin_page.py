"""Draw docs/images/admin_page.png: the page of the private port of a running service.

demur serve --bundle bundles/july --admin-port 8001     # in one terminal, with DEMUR_ADMIN_TOKEN set
python docs/images/admin_page.py                        # in another, with the same token; needs Chromium
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

OUT = Path(__file__).with_suffix(".png")


def draw(url: str, token: str, out: Path, width: int) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(url)
        page.get_by_label("Token", exact=True).fill(token)
        page.get_by_role("button", name="Enter").click()
        expect(page.locator("#monitors p").first).to_be_visible(timeout=30_000)
        expect(page.locator("#audits p").first).to_be_visible(timeout=30_000)
        page.screenshot(path=out, full_page=True)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8001")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--width", type=int, default=1200)
    given = parser.parse_args()
    draw(given.url, os.environ["DEMUR_ADMIN_TOKEN"], given.out, given.width)


if __name__ == "__main__":
    main()
