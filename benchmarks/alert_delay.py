"""How long from a fault to the first message about it?

    python benchmarks/alert_delay.py [--faults 5] [--wait 5] [--record [FOLDER]]

A service watches one rule, a store that is away for `--wait` seconds (its `for`). Its Valkey is halted
(SIGSTOP), the time until a webhook's receiver has the message is taken, the Valkey goes on and the alert
ends; and so on. The exit code is 1 if a message took more than ten seconds beyond `for`.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from fakes.http_receiver import HttpReceiver, answers, http_receiver
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import write_tiny_bundle
from fakes.waiting import eventually

from monitoring.store.embedded_valkey import EmbeddedValkey

BEYOND_FOR: Final = 10.0
"""Seconds that the first message may take beyond `for`"""
_PATIENCE: Final = 120.0
"""Seconds for a message to come"""
RULES = """
channels:
  hook: {{kind: webhook, url: "${{ALERT_URL}}", secret: "${{ALERT_SECRET}}"}}
ladders:
  duty: {{steps: [{{channel: hook}}]}}
defaults: {{ladder: duty}}
rules:
  - {{name: store-away, signal: store_away, above: 0.5, for: {wait:g}s}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=5)
    parser.add_argument("--wait", type=float, default=5.0, help="seconds of the rule's `for`")
    add_record_option(parser)
    given = parser.parse_args()
    recording = Recording.begin(given.record)
    with tempfile.TemporaryDirectory(prefix="alert-delay-") as folder:
        delays = delays_of(Path(folder), given.faults, given.wait)
    rows = [[str(number), f"{delay:.1f} s"] for number, delay in enumerate(delays, start=1)]
    table = markdown(["fault", "until the receiver had the message"], rows)
    print(table)
    met = max(delays) <= given.wait + BEYOND_FOR
    recording.save(
        "alert-delay",
        "robustness",
        "From a fault to the first message",
        about=f"The store of a service is halted {given.faults} times; its rule has `for: {given.wait:g}s`. "
        "Taken is the time from SIGSTOP until a webhook's receiver has the whole message.",
        claims=[
            Claim(
                f"fault to first message, with `for` of {given.wait:g} s",
                f"{statistics.median(delays):.1f} s, at most {max(delays):.1f} s",
                f"at most {given.wait + BEYOND_FOR:g} s",
                met,
            )
        ],
        detail=table,
        raw=table,
    )
    if not met:
        sys.exit(f"a message took {max(delays):.1f} s")


def delays_of(folder: Path, faults: int, wait: float) -> list[float]:
    """Seconds from each fault to its message."""
    (folder / "alerts.yaml").write_text(RULES.format(wait=wait))
    bundle = write_tiny_bundle(folder / "bundle")
    found: list[float] = []
    with http_receiver(answers()) as receiver, EmbeddedValkey(folder / "store") as valkey:
        os.environ.update(ALERT_URL=receiver.url, ALERT_SECRET="a-secret-of-the-benchmark")
        given = {"alerts": str(folder / "alerts.yaml"), "redis_url": valkey.url, "cores": 1}
        with ServiceProcess(bundle, folder / "data", **given) as service, service.client() as client:
            eventually(lambda: client.get("/health").json()["alerts"]["evaluated_at"] is not None)
            assert valkey.pid is not None
            for number in range(1, faults + 1):
                began = time.monotonic()
                os.kill(valkey.pid, signal.SIGSTOP)
                try:
                    _await(lambda number=number: _told(receiver, "firing") == number)
                    found.append(time.monotonic() - began)
                finally:
                    os.kill(valkey.pid, signal.SIGCONT)
                _await(lambda number=number: _told(receiver, "resolved") == number)
    return found


def _told(receiver: HttpReceiver, kind: str) -> int:
    """Messages of one kind that came."""
    return sum(one.json()["kind"] == kind for one in list(receiver.requests))


def _await(reached: Callable[[], bool]) -> None:
    """Look every 20 ms, as exact as the figure is."""
    give_up = time.monotonic() + _PATIENCE
    while not reached():
        if time.monotonic() > give_up:
            sys.exit(f"nothing came within {_PATIENCE:g} s")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
