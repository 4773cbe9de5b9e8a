"""A process that takes messages into an outbox and delivers them, to be killed at any moment.

`python outbox_process.py ORDER`, where ORDER is JSON: folder, channels as in a rules file, the number of the
first message and the number of messages in all. It prints the number of each message that is taken, and
`done` when nothing waits.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import structlog
from fakes.alert_messages import message

from monitoring.alerts.notifiers.channels import channels_of
from monitoring.alerts.notifiers.config import read_channel
from monitoring.alerts.outbox import Outbox
from monitoring.alerts.outbox.delivery_threads import DeliveryThreads


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    order = json.loads(sys.argv[1])
    configs = {name: read_channel(values, os.environ) for name, values in order["channels"].items()}
    outbox = Outbox(Path(order["folder"]), channels_of(configs))
    threads = DeliveryThreads(outbox)
    threads.start()
    for number in range(order["first"], order["count"]):
        for name, config in configs.items():
            to = {"email": "ana@example.org", "phone": "+491701234567", None: ""}[config.address]
            outbox.add(message(f"m-{number}"), name, to)
        threads.wake()
        print(number, flush=True)
        time.sleep(0.005)
    while outbox.waiting():
        time.sleep(0.02)
    print("done", flush=True)
    threads.stop(5)


if __name__ == "__main__":
    main()
