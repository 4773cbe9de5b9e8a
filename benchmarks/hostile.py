"""Speed of the service before and after an attack with malformed and abusive requests.

    python benchmarks/hostile.py [--runs 5] [--seconds 3] [--attack 6] [--record [FOLDER]] [--out DIR]

Each run: throughput at 8 clients, the corpus from 8 attackers for `--attack` seconds, throughput again.
Every attack must get a 4xx or be cut off within its time limit. Writes hostile.md. The exit code
is 1 if an attack got another answer, or if the median ratio after / before is below .95.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from harness.figures import markdown, shown
from harness.models import write_model_bundle
from harness.photographs import photograph, photographs
from harness.pinned import LoadGenerator
from harness.processes import free_ports
from harness.record import Claim, Recording, add_record_option
from harness.servers import DEMUR, Launch, running
from harness.trial import usable_cores
from harness.venvs import CACHE

from demur.profile.figures import Repeated
from demur.profile.load import requests_for
from trainer.run.console import RunConsole

ATTACKERS = 8
LIMIT = 2.0
"""Time limit of a head or a body in this trial, in seconds."""
LEAST = 0.95


def main(arguments: Sequence[str] | None = None) -> None:
    given = _options().parse_args(arguments)
    recording = Recording.begin(given.record)
    console = RunConsole()
    server_core, client_core = usable_cores()[:2]
    images = photographs(8, 720, 1280, 181_000)
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    slowest: dict[str, float] = defaultdict(float)
    before, after, memory = [], [], []
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hostile-")))
        bundle = write_model_bundle("small", scratch, images, CACHE / "onnx")
        limits = {"DEMUR_HEADER_TIMEOUT": str(LIMIT), "DEMUR_BODY_TIMEOUT": str(LIMIT)}
        launch = Launch(bundle, scratch / "server", free_ports(1)[0], extra=limits)
        server = stack.enter_context(running(DEMUR, launch, [server_core]))
        load = stack.enter_context(LoadGenerator([client_core]))
        requests = requests_for(images)
        load.run(server.address, requests, 8, 1.0)
        bar = stack.enter_context(console.bar("Hostile inputs", given.runs, unit="runs"))
        for _ in range(given.runs):
            before.append(load.run(server.address, requests, 8, given.seconds).per_second)
            weight = server.resident_mb()
            _attack(server.address, given.attack, outcomes, slowest)
            memory.append(server.resident_mb() - weight)
            after.append(load.run(server.address, requests, 8, given.seconds).per_second)
            bar.advance(1)
    ratio = Repeated.of([later / earlier for later, earlier in zip(after, before, strict=True)])
    rows = [
        [name, ", ".join(f"{n} x {what}" for what, n in found.most_common()), f"{slowest[name]:.2f}"]
        for name, found in outcomes.items()
    ]
    text = (
        markdown(["attack", "answers", "slowest, s"], rows)
        + f"\nRequests a second before {shown(Repeated.of(before))}, after {shown(Repeated.of(after))}; "
        f"after / before {shown(ratio)}. Memory after an attack: {shown(Repeated.of(memory))} MB more.\n"
    )
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "hostile.md").write_text(text)
    console.console.print(text, markup=False, highlight=False, soft_wrap=True)
    wrong = [name for name, found in outcomes.items() if any(what[0] in "235" for what in found)]
    recording.save(
        "hostile",
        "robustness",
        "Hostile inputs",
        about=f"{given.runs} runs: throughput at 8 clients, {len(outcomes)} kinds of attack from {ATTACKERS} "
        f"attackers for {given.attack:g} s, throughput again. A head or a body has {LIMIT:g} s to arrive, "
        "and two more to stop once it was refused.",
        claims=[
            Claim(
                "attacks answered otherwise than by 4xx or a cut",
                f"{len(wrong)} of {len(outcomes)} kinds",
                "0",
                not wrong,
            ),
            Claim(
                "throughput after the attacks against before",
                shown(ratio),
                f"at least {LEAST:g}",
                ratio.median >= LEAST,
            ),
        ],
        detail=text,
        raw=text,
    )
    if wrong:
        sys.exit(f"not answered 4xx: {', '.join(wrong)}")
    if ratio.median < LEAST:
        sys.exit(f"slower afterwards: {ratio.median:.2f} of the speed before")


def corpus() -> Mapping[str, Sequence[bytes]]:
    """Attack -> its bytes, piece by piece, with a tenth of a second between the pieces."""
    photo = photograph(720, 1280)
    png = _png(60_000, 60_000)
    chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
    return {
        "no image": [_post(b"no image at all")],
        "empty": [_post(b"")],
        "truncated JPEG": [_post(photo[: len(photo) // 3])],
        "a bomb of 3.6 gigapixels": [_post(png, "image/png")],
        "a zip behind a JPEG's first bytes": [_post(photo[:2] + b"PK\x03\x04" + bytes(50_000))],
        "HTML called an image": [_post(b"<html><script>" + b"x" * 50_000)],
        "JPEG called JSON": [_post(photo, "application/json")],
        "deep JSON": [_post(b"[" * 60_000, "application/json")],
        "base64 that is none": [_post(b'{"image": "' + b"!" * 60_000 + b'"}', "application/json")],
        "more than declared": [_post(photo, length=1 << 40)],
        "less than declared": [_post(photo[:1000], length=5000)],
        "a negative length": [_post(b"", length=-1)],
        "a body that drips": [_post(b"", length=5000), *[b"x"] * 40],
        "a head that drips": [b"POST /predict HTTP/1.1\r\n", *[b"X"] * 40],
        "a huge head": [b"GET /health HTTP/1.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"],
        "chunks without end": [
            _head(b"Transfer-Encoding: chunked"),
            *[chunk] * 500,
        ],
        "no HTTP": [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)],
    }


def _attack(
    address: tuple[str, int],
    seconds: float,
    outcomes: dict[str, Counter[str]],
    slowest: dict[str, float],
) -> None:
    """Run all attackers at once; each goes through the corpus from a different position."""
    attacks = list(corpus().items())
    until = time.monotonic() + seconds
    guard = threading.Lock()

    def attacker(turn: int) -> None:
        while time.monotonic() < until:
            name, pieces = attacks[turn % len(attacks)]
            turn += 1
            began = time.monotonic()
            outcome = _send(address, pieces)
            with guard:
                outcomes[name][outcome] += 1
                slowest[name] = max(slowest[name], time.monotonic() - began)

    threads = [
        threading.Thread(target=attacker, args=(number * len(attacks) // ATTACKERS,))
        for number in range(ATTACKERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _send(address: tuple[str, int], pieces: Sequence[bytes]) -> str:
    """Status of the answer, or how the connection ended."""
    with socket.create_connection(address, timeout=4 * LIMIT) as connection:
        try:
            for number, piece in enumerate(pieces):
                if number and len(piece) < 10:
                    time.sleep(0.1)
                connection.sendall(piece)
        except OSError:
            # Cut off while sending; an answer may still be in the socket.
            pass
        try:
            head = connection.recv(4096)
        except TimeoutError:
            return "no answer"
        except OSError:
            return "cut off"
    return head[9:12].decode(errors="replace") if head else "cut off"


def _post(body: bytes, kind: str = "image/jpeg", length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    return _head(f"Content-Type: {kind}\r\nContent-Length: {length}".encode()) + body


def _head(headers: bytes) -> bytes:
    return b"POST /predict HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n"


def _png(width: int, height: int) -> bytes:
    """A small file that declares a huge image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    pixels = chunk(b"IDAT", zlib.compress(bytes(1_000_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + pixels + chunk(b"IEND", b"")


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one load")
    parser.add_argument("--attack", type=float, default=6.0, help="seconds of each attack")
    parser.add_argument("--out", type=Path, default=CACHE / "hostile")
    add_record_option(parser)
    return parser


if __name__ == "__main__":
    main()
