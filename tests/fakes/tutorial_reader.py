"""A reader of a document, who pastes its blocks into terminals: what is written must work as it stands."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PORT_OF_THE_TEXT = "127.0.0.1:8000"

_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    document: str
    section: str
    language: str
    text: str


def blocks_of(document: Path) -> Iterator[Block]:
    text = document.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        section = _HEADING.findall(text[: found.start()])[-1]
        yield Block(document.stem, section, found[1], found[2])


def commands_of(text: str) -> Iterator[str]:
    """The lines of a block of the shell; one that reads a text up to `END` goes on to there."""
    waiting: list[str] = []
    for line in text.splitlines():
        waiting.append(line)
        if line == "END" or (len(waiting) == 1 and "<<'END'" not in line):
            if line.strip():
                yield "\n".join(waiting)
            waiting = []


class Reader:
    """A person who pastes block after block, into one terminal and, beside a service, a second one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.output: dict[str, str] = {}
        """Line of the shell, or block of Python -> what it printed"""
        self._services: list[subprocess.Popen[bytes]] = []
        self._groups: list[int] = []
        """Process groups of what was run, whose background jobs end with the reader"""
        scripts = str(Path(sys.executable).parent)
        self.environment = os.environ | {
            "PATH": f"{scripts}:{os.environ['PATH']}",
            "DEMUR_PORT": str(self.port),
            "COLUMNS": "110",
        }
        (folder / ".venv").symlink_to(Path(sys.executable).parents[1])

    def paste(self, block: Block) -> None:
        """Run the block; of the shell the lines that were not run before."""
        if block.language == "python":
            if block.text not in self.output:
                self.output[block.text] = self._run(block.text, "python", "-c")
            return
        for line in commands_of(block.text):
            if line not in self.output:
                self.output[line] = self._serve(line) if line.startswith("demur serve") else self._run(line)

    def stop(self) -> None:
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        for service in self._services:
            service.terminate()
            service.wait(300)

    def printed(self, start: str) -> str:
        """Output of the first line that begins so."""
        return next(output for line, output in self.output.items() if line.startswith(start))

    def printed_by(self, part: str) -> str:
        """Output of the one block of Python that contains this."""
        (found,) = (output for text, output in self.output.items() if part in text and "\n" in text)
        return found

    def attempt(self, text: str, *program: str) -> subprocess.CompletedProcess[str]:
        """Run a line of the shell, or the text of another program."""
        with subprocess.Popen(
            [*(program or ("bash", "-euc")), text.replace(PORT_OF_THE_TEXT, f"127.0.0.1:{self.port}")],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            self._groups.append(process.pid)
            try:
                out, err = process.communicate(timeout=900)
            finally:
                process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def _run(self, text: str, *program: str) -> str:
        done = self.attempt(text, *program)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _serve(self, line: str) -> str:
        with (self.folder / "serve.log").open("wb") as log:
            service = subprocess.Popen(
                ["bash", "-c", f"exec {line}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._services.append(service)
        for _ in range(3000):
            assert service.poll() is None, (self.folder / "serve.log").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5).close()
                return "ready"
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the service is not ready after five minutes")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
