"""Promoter of a service that `demur serve` runs: `demur promote` as a process of its own, one at a time.

What it prints is kept in the data folder. It ends with the service; its promotion stays in the registry as it
is then, and any promoter may go on with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from service.admin.promoter import PromoterRun, PromotionOrder
from service.environment import variable_of
from service.settings import NO_STORE, Settings

_FOLDER: Final = "promotions"
_KEPT: Final = 20
"""Outputs that are kept, the latest"""
_GRACE: Final = 10.0
"""Seconds for the process to end when it is asked to"""
_TAIL: Final = 4000
"""Bytes of the output that hold its last words"""

logger = structlog.get_logger("demur.promotion")


class PromoterProcess:
    """Starts promotions of the fleet that a service follows. Used from any thread."""

    def __init__(self, settings: Settings) -> None:
        """`settings`: of the running service, with its store."""
        self._settings = settings
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._output = Path()

    def begin(self, order: PromotionOrder) -> PromoterRun:
        """Start one, unless one is at work. Raises OSError."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start(order)
            process, output = self._process, self._output
        assert process is not None  # noqa: S101 - it was started, now or before
        return PromoterRun(output, lambda: _last_words(process, output))

    def close(self) -> None:
        """End the one that is at work."""
        with self._lock:
            process = self._process
        if process is None or process.poll() is not None:
            return
        logger.warning(
            "promoter_stopped",
            output=str(self._output),
            note="the service ends; the promotion goes on with `demur promote --resume`",
        )
        process.terminate()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self, order: PromotionOrder) -> None:
        folder = self._settings.data_dir / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        _thin_out(folder)
        name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{time.monotonic_ns() % 10**6:06}"
        self._output = folder / f"{name}.log"
        plan = None
        if order.plan is not None:
            # JSON is YAML as well.
            plan = folder / f"{name}.yaml"
            plan.write_text(json.dumps(order.plan), encoding="utf-8")
        with self._output.open("xb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed command line
                [sys.executable, "-P", "-m", "demur.start", *_arguments(order, plan)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                # Ctrl-C at the terminal stops the service, which stops it.
                start_new_session=True,
            )
        logger.info("promoter_started", pid=self._process.pid, output=str(self._output), fleet=order.fleet)

    def _environment(self) -> dict[str, str]:
        """By variables, since addresses may hold passwords, which a command line shows to everybody."""
        settings = self._settings
        given = {"registry": settings.registry, "redis_url": settings.redis_url or NO_STORE}
        named = {variable_of(name): value for name, value in given.items() if value is not None}
        return {**os.environ, **named, "NO_COLOR": "1"}


def _arguments(order: PromotionOrder, plan: Path | None) -> Iterator[str]:
    yield "promote"
    yield from ("--resume",) if order.digest is None else ("--yes",)
    yield from (f"--fleet={order.fleet}", f"--by={order.by}", f"--reason={order.reason}")
    if plan is not None:
        yield f"--plan={plan}"
    if order.digest is not None:
        yield order.digest


def _last_words(process: subprocess.Popen[bytes], output: Path) -> str | None:
    """The last words of a promoter that has ended; None: it is at work."""
    code = process.poll()
    if code is None:
        return None
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - _TAIL))
        said = "\n" + file.read().decode("utf-8", "replace").strip()
    # A refusal begins so, and may have several lines; an outcome is the last line.
    start = "\ndemur: " if "\ndemur: " in said else "\n"
    last = said.rpartition(start)[2].splitlines()
    return "; ".join(map(str.strip, last)) or f"it ended with {code}"


def _thin_out(folder: Path) -> None:
    for old in sorted(folder.glob("*.log"))[: -_KEPT + 1]:
        old.unlink(missing_ok=True)
        old.with_suffix(".yaml").unlink(missing_ok=True)
