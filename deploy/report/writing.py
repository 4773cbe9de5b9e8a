"""Writing of the report of a promotion into the registry, and into a folder."""

from __future__ import annotations

import json
from pathlib import Path

from bundle.extras import remedy_of
from bundle.registry import keys
from bundle.registry.generation import Generation
from bundle.registry.registry import Registry
from deploy.report.page import CAPTIONS, page_of
from deploy.report.story import Story, story_of

PAGE = "report.md"


def write_report(registry: Registry, fleet: str, generation: Generation, folder: Path | None = None) -> str:
    """Write the report of the promotion in `generation`, the newest record of it, and return its address.

    It lies below the fleet in the registry and, if `folder` is given, there as well. Raises NotReported, a
    RegistryError, and OSError for the folder. Without matplotlib the page has no pictures and says so.
    """
    story = story_of(registry.fleet(fleet), generation)
    files = report_files(story)
    prefix = keys.promotion(fleet, story.state.id)
    for name, data in files.items():
        registry.location.put(f"{prefix}/{name}", data)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    return registry.location.place(f"{prefix}/{PAGE}")


def report_files(story: Story) -> dict[str, bytes]:
    """Name -> content of every file; the page is last, so that what it shows is there before it."""
    without = remedy_of("matplotlib")
    pictures = {}
    if without is None:
        from deploy.report.pictures import pictures_of

        pictures = pictures_of(story)
    else:
        without = f"matplotlib is not here; {without}"
    values = story.values()
    page = page_of(story, [name for name in CAPTIONS if name in pictures], without)
    return {
        **pictures,
        "gates.json": json.dumps(values, indent=1, ensure_ascii=False).encode("utf-8", "replace"),
        PAGE: page.encode("utf-8", "replace"),
    }
