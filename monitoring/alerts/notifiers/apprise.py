"""Every service that apprise knows, by its URL; apprise runs in a process of its own.

It has no time limit over everything that it does, and its log shows what it sends. A process can be ended,
and takes its log with it.
"""

from __future__ import annotations

import json
import subprocess
import sys

from monitoring.alerts.message import Message
from monitoring.alerts.notifiers.config import AppriseConfig
from monitoring.alerts.notifiers.contract import Delivery
from monitoring.alerts.notifiers.facts import title_line
from monitoring.alerts.notifiers.plain_text import plain_text


class AppriseNotifier:
    """One URL of apprise."""

    def __init__(self, config: AppriseConfig) -> None:
        self._config = config

    def send(self, message: Message, to: str = "") -> Delivery:
        """See `Notifier`; `to` has no meaning here, and the receiver sees the id in the text alone."""
        order = {"url": self._config.url.reveal(), "title": title_line(message), "body": plain_text(message)}
        limit = self._config.timeout
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "monitoring.alerts.notifiers.apprise_process"],
                input=json.dumps({**order, "timeout": limit}).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Delivery("unknown", f"apprise was not done within {limit:g} s")
        except OSError as error:
            return Delivery("refused", f"apprise cannot be started: {error.strerror}")
        return _delivery(done.stdout.decode("utf-8", "replace").strip())


def _delivery(status: str) -> Delivery:
    if status == "SUCCESS":
        return Delivery("delivered", "apprise says so")
    if status == "URL":
        return Delivery("refused", "apprise does not understand the URL")
    # It also says that it failed where the service has the message and only its answer was lost.
    return Delivery("unknown", f"apprise says {status or 'nothing'}")
