"""Assemble the pages of the site: `python docs/assemble.py [FOLDER]`; `make docs` does, and then builds it.

The documents of the repository, with links that hold on the site, and the pages that the code itself tells:
verbs, configuration, routes, the Python interface. Plain files in one folder, so that any generator of sites
can read them; `mkdocs.yml` configures the one that is used.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from pages import commands, configuration, decisions, metrics, python, routes
from pages.links import PAGES, external_links, relinked, with_pipes

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "docs"
COPIED = (".md", ".png", ".jpg", ".svg", ".txt")
"""Suffixes of the files below docs/ that belong to the site"""
PARTS = "remarks"
"""Folder of texts that stand on other pages"""
GENERATED: Mapping[str, Callable[[], str]] = {
    "adr/index.md": decisions.page,
    "reference/commands.md": commands.page,
    "reference/configuration.md": configuration.page,
    "reference/routes.md": routes.page,
    "reference/metrics.md": metrics.page,
    "reference/calibration.md": python.calibration_page,
    "reference/client.md": python.client_page,
}


def assemble(out: Path) -> None:
    """Write all pages below `out`, which is emptied first, and list the addresses of other hosts in them."""
    shutil.rmtree(out, ignore_errors=True)
    texts = {page: content() for page, content in GENERATED.items()}
    for page, source in sources().items():
        if source.suffix == ".md":
            texts[page] = relinked(source.read_text("utf-8"), source.relative_to(ROOT), page)
        else:
            (out / page).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, out / page)
    for page, text in texts.items():
        (out / page).parent.mkdir(parents=True, exist_ok=True)
        (out / page).write_text(with_pipes(text), "utf-8")
    (out / "external-links.txt").write_text("".join(f"{line}\n" for line in external_links(out)), "utf-8")


def sources() -> dict[str, Path]:
    """Page of the site -> file of the repository."""
    docs = ROOT / "docs"
    files = [path for path in sorted(docs.rglob("*")) if path.suffix in COPIED and path.parent.name != PARTS]
    pages = {path.relative_to(docs).as_posix(): path for path in files}
    return pages | {page: ROOT / path for path, page in PAGES.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", default=OUT)
    assemble(parser.parse_args().folder)


if __name__ == "__main__":
    main()
