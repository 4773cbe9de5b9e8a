"""The stream of log lines: whole lines of several workers, and no failure of what it reports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from select import PIPE_BUF

import pytest

from service.choices import LogStreamName
from service.logs.stream import LogStream, _pieces

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["stderr", "stdout"])
def test_lines_go_to_the_stream_that_is_named(name: LogStreamName, capfd: pytest.CaptureFixture[str]) -> None:
    LogStream(name).append(b"one\ntwo\n")
    said = capfd.readouterr()
    assert getattr(said, {"stderr": "err", "stdout": "out"}[name]) == "one\ntwo\n"
    assert said.out + said.err == "one\ntwo\n"


def test_pieces_are_whole_lines_that_a_pipe_takes_at_once() -> None:
    lines = b"".join(b"x" * length + b"\n" for length in (10, PIPE_BUF, 4000, 90, 5000, 1, 4095, 4094, 3))
    pieces = list(_pieces(lines))
    assert b"".join(pieces) == lines
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert all(len(piece) <= PIPE_BUF or piece.count(b"\n") == 1 for piece in pieces)
    assert list(_pieces(b"")) == []


_WRITER = """
import sys
from service.logs.buffer import LineBuffer
from service.logs.stream import LogStream
log = LineBuffer(LogStream("stdout").append)
for number in range(3000):
    log.write(f"{sys.argv[1]} {number:06d} {'x' * (number % 700)}\\n".encode())
    if number % 40 == 0:
        log.flush()
log.flush()
"""


def test_workers_that_share_a_pipe_with_a_slow_reader_tear_no_line() -> None:
    read, write = os.pipe()
    with open(read, "rb") as pipe:
        writers = [
            subprocess.Popen([sys.executable, "-c", _WRITER, name], stdout=write, cwd=ROOT)
            for name in ("a", "b", "c")
        ]
        os.close(write)
        # Both writers wait at a full pipe most of the time.
        lines = [line.split() for line in pipe]
    assert [writer.wait(300) for writer in writers] == [0, 0, 0]
    assert all(len(words) == 3 or int(words[1]) % 700 == 0 for words in lines)
    assert all(len(words[-1]) == int(words[1]) % 700 for words in lines if len(words) == 3)
    for name in (b"a", b"b", b"c"):
        assert [int(number) for writer, number, *_ in lines if writer == name] == list(range(3000))


def test_a_reader_that_is_gone_fails_neither_the_writer_nor_its_exit() -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-c", _WRITER, "a"], stdout=pipe, stderr=subprocess.PIPE, cwd=ROOT, check=False
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_process_without_the_stream_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    LogStream("stderr").append(b"lost\n")
