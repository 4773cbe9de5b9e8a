"""`demur serve`: what it says on a terminal once the service answers, and the service until it is stopped."""

from __future__ import annotations

import mimetypes
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from service.process.serving import Serving
    from service.settings import Settings

_LABEL_WIDTH: Final = 11
_MAX_WIDTH: Final = 100
"""Columns of folded texts; longer lines read badly."""


def serve_until_stopped(settings: Settings, image: Path | None = None) -> None:
    """Serve until SIGTERM or SIGINT. On a terminal, say where, what and with which promise.

    `image`: a file for the request to try; None: an image of the bundle. Raises as `serve` does.
    """
    from demur.commands.promoter_process import PromoterProcess
    from service.process.server import for_terminal, serve

    settings = for_terminal(settings)
    if settings.log_format != "text":
        serve(settings, promoter=PromoterProcess)
        return
    from rich.console import Console

    console = Console(stderr=settings.log_stream == "stderr")
    what = settings.bundle if settings.registry is None else f"{settings.follow} of the registry"
    console.print(f"Loading {what} ...", markup=False, highlight=False, soft_wrap=True)

    def announce(serving: Serving) -> None:
        for line in banner(serving, settings, image or _sample(serving.bundle.folder), console.width):
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    serve(settings, announce, PromoterProcess)
    console.print("Stopped.")


def banner(serving: Serving, settings: Settings, image: Path, width: int) -> Iterator[str]:
    """Lines that say where a service answers, what it serves and promises, and how to try and stop it."""
    bundle = serving.bundle
    cascade = "stage A, then stage B for what A leaves open" if bundle.stages > 1 else "one stage"
    promise = bundle.promise
    if not bundle.may_answer:
        promise = f"This bundle may not answer at all: every image is left to a person. {promise}"
    yield ""
    yield f"Serving {bundle.name} {bundle.version}"
    yield ""
    yield from _rows("Promise", promise, width)
    yield from _rows("Cascade", f"{cascade}, on {bundle.engine}", width)
    if serving.fleet is not None:
        yield from _rows("Fleet", serving.fleet, width)
    yield _row("Page", f"{serving.url}/")
    yield _row("API", f"{serving.url}/docs")
    if serving.everywhere:
        port = serving.url.rpartition(":")[2]
        yield _row("Network", f"every address of this machine, port {port}")
    if serving.admin_url is not None:
        yield _row("Changes", f"{serving.admin_url}, with the token of DEMUR_ADMIN_TOKEN")
    if serving.store_note is not None:
        yield from _rows("Store", f"Warning: {serving.store_note}.", width)
    yield _row("Log", f"{settings.log_options().file} (JSON lines; warnings and errors also come here)")
    yield _row("Try it", request_line(image, serving.url))
    yield ""
    yield "Ctrl-C stops it."


def _rows(label: str, text: str, width: int) -> Iterator[str]:
    """Lines of a text that is folded at the width."""
    lines = textwrap.wrap(text, max(30, min(width, _MAX_WIDTH) - _LABEL_WIDTH - 2))
    return (_row(label if number == 0 else "", line) for number, line in enumerate(lines))


def _row(label: str, text: str) -> str:
    return f"  {label:<{_LABEL_WIDTH}}{text}"


def request_line(image: Path, url: str) -> str:
    """A command line that sends an image to a service."""
    kind = mimetypes.guess_type(image)[0] or "application/octet-stream"
    words = ("curl", "-s", "-H", f"Content-Type: {kind}", "--data-binary", f"@{image}", f"{url}/predict")
    return shlex.join(words)


def _sample(folder: Path) -> Path:
    """An image of the bundle: its first golden case that is answered, or its first one."""
    from bundle.verify import read_manifest

    cases = read_manifest(folder).golden
    answered = (
        case
        for case in cases
        for expected in case.expected.values()
        if expected.decision is not None and expected.decision.decision == "answer"
    )
    case = next(answered, None) or next(iter(cases), None)
    return Path("photo.jpg") if case is None else folder / case.file
