"""Alerts, and a process that is killed while it tells them: is a message lost, and how many come twice?

    python benchmarks/alert_kills.py [--kills 50] [--seed 0] [--record [FOLDER]]

A process takes one message after another into its outbox, and tells each by mail, Slack, SMS and webhook to
real receivers, which answer after up to 20 ms. It gets SIGKILL at a random moment and is started again with
the message that it had not confirmed, and so on. Every message that was confirmed must arrive, and one per
kill may come twice, with the same id. The exit code is 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from fakes import outbox_process
from fakes.http_receiver import Behaviour, HttpReceiver, answers, http_receiver
from fakes.smtp_sink import Certificates, SmtpSink

SECRETS: Final = {"HOOK_KEY": "a-key-of-the-benchmark", "SMS_TOKEN": "a-token-of-the-benchmark"}
_LONGEST_LIFE: Final = 0.3
"""Seconds from the first message of a process to its end, at most"""
_PATIENCE: Final = 60.0

Ids = Callable[[], list[str]]
"""The id of every message that a receiver has got, as often as it has"""


@dataclass(slots=True)
class Kills:
    """What the kills did to the messages."""

    kills: int = 0
    confirmed: int = 0
    """Messages that a process had taken"""
    received: dict[str, Counter[str]] = field(default_factory=dict)
    """Channel -> id -> how often"""

    @property
    def lost(self) -> int:
        """Messages of a channel that were taken and never came."""
        ids = [f"m-{number}" for number in range(self.confirmed)]
        return sum(id not in got for got in self.received.values() for id in ids)

    @property
    def duplicates(self) -> int:
        return sum(times - 1 for got in self.received.values() for times in got.values())

    @property
    def strangers(self) -> int:
        """Messages with an id that none has."""
        ids = {f"m-{number}" for number in range(self.confirmed)}
        return sum(id not in ids for got in self.received.values() for id in got)

    @property
    def faults(self) -> list[str]:
        found = {
            f"{self.lost} messages were lost": self.lost > 0,
            f"{self.duplicates} came twice, after {self.kills} kills": self.duplicates > self.kills,
            f"{self.strangers} have an id of no message": self.strangers > 0,
        }
        return [text for text, is_fault in found.items() if is_fault]


def kill_senders(folder: Path, kills: int, seed: int = 0) -> Kills:
    """Start a sender and kill it, `kills` times; then let one deliver the rest."""
    rng, found = random.Random(seed), Kills()
    with _receivers(folder, rng) as (channels, environment, received):
        while found.kills < kills:
            with _sender(folder, channels, environment, found.confirmed, 10**9) as sender:
                _confirm(sender, found)
                end = time.monotonic() + rng.uniform(0.0, _LONGEST_LIFE)
                while time.monotonic() < end:
                    _confirm(sender, found)
                sender.send_signal(signal.SIGKILL)
                found.kills += 1
                # What it had said before it was killed counts as taken.
                for line in sender.stdout or ():
                    found.confirmed = int(line) + 1
        with _sender(folder, channels, environment, found.confirmed, found.confirmed + 1) as sender:
            assert sender.stdout is not None
            rest = sender.stdout.read().split()
            assert rest[-1] == "done", rest
            assert sender.wait(_PATIENCE) == 0
            found.confirmed += 1
        found.received = {name: Counter(ids()) for name, ids in received.items()}
    return found


def _confirm(sender: subprocess.Popen[str], found: Kills) -> None:
    assert sender.stdout is not None
    line = sender.stdout.readline()
    assert line, "the sender ended by itself"
    found.confirmed = int(line) + 1


@contextmanager
def _sender(
    folder: Path, channels: Mapping[str, Any], environment: Mapping[str, str], first: int, count: int
) -> Iterator[subprocess.Popen[str]]:
    order = {"folder": str(folder / "outbox"), "channels": channels, "first": first, "count": count}
    root = Path(outbox_process.__file__).parents[1]
    with (folder / "sender.log").open("ab") as log:
        sender = subprocess.Popen(
            [sys.executable, "-P", outbox_process.__file__, json.dumps(order)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **environment, "PYTHONPATH": str(root)},
        )
    with sender:
        try:
            yield sender
        finally:
            sender.kill()


@contextmanager
def _receivers(
    folder: Path, rng: random.Random
) -> Iterator[tuple[dict[str, Any], dict[str, str], dict[str, Ids]]]:
    """Channels, the variables that they name, and what came by each."""
    with ExitStack() as stack:
        sink = stack.enter_context(SmtpSink(Certificates.make(folder)))
        slack = stack.enter_context(http_receiver(_late(answers(200, "ok"), rng)))
        sms = stack.enter_context(http_receiver(_late(answers(201, {"sid": "SM1"}), rng)))
        hook = stack.enter_context(http_receiver(_late(answers(204, ""), rng)))
        mail = {"kind": "email", "host": "127.0.0.1", "port": sink.port, "from": "demur@example.org"}
        text = {
            "kind": "sms",
            "base_url": sms.url,
            "account": "AC1",
            "token": "${SMS_TOKEN}",
            "from": "demur",
        }
        channels = {
            "mail": {**mail, "ca_file": str(sink.certificates.ca_file)},
            "slack": {"kind": "slack", "url": "${SLACK_URL}"},
            "sms": text,
            "webhook": {"kind": "webhook", "url": hook.url, "secret": "${HOOK_KEY}"},
        }
        received: dict[str, Ids] = {
            "mail": lambda: [mail["Message-ID"].strip("<>").partition("@")[0] for mail in sink.mails],
            "slack": slack.ids,
            "sms": lambda: [_id_in_text(request.body) for request in sms.requests],
            "webhook": hook.ids,
        }
        yield channels, {**SECRETS, "SLACK_URL": slack.url}, received


def _late(behaviour: Behaviour, rng: random.Random) -> Behaviour:
    """Answers after up to 20 ms: in this time a kill leaves a duplicate."""

    def late(handler: Any, receiver: HttpReceiver) -> None:
        time.sleep(rng.uniform(0.0, 0.02))
        behaviour(handler, receiver)

    return late


def _id_in_text(body: bytes) -> str:
    return parse_qs(body.decode())["Body"][0].rpartition("Id ")[2]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    add_record_option(parser)
    given = parser.parse_args()
    recording = Recording.begin(given.record)
    with tempfile.TemporaryDirectory(prefix="alerts-") as folder:
        found = kill_senders(Path(folder), given.kills, given.seed)
    rows = [
        [name, f"{found.confirmed:,}", f"{len(got):,}", str(sum(got.values()) - len(got))]
        for name, got in found.received.items()
    ]
    table = markdown(["channel", "messages taken", "came", "came twice"], rows)
    print(table)
    recording.save(
        "alert-kills",
        "robustness",
        "Alerts, and a sender that is killed",
        about="A process tells messages by mail (STARTTLS), Slack, SMS and webhook to real receivers, "
        f"and gets SIGKILL {found.kills} times, at random within {_LONGEST_LIFE:g} s of its first one. "
        "A message that was taken must come; between the answer of a receiver and the note of it a kill may "
        "leave one duplicate, with the same id.",
        claims=[
            Claim(
                f"{found.kills} kills (-9) of a process that tells alerts",
                f"{found.lost} of {4 * found.confirmed:,} lost, {found.duplicates} twice, "
                f"{found.strangers} with another id",
                f"0 lost, at most {found.kills} twice, each with its id",
                not found.faults,
            )
        ],
        detail=table,
        raw="\n".join([table, *found.faults]),
    )
    if found.faults:
        sys.exit("; ".join(found.faults))


if __name__ == "__main__":
    main()
