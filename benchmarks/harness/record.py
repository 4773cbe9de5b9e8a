"""Records of measurements: one JSON file per measurement and its raw output as text beside it.

A benchmark takes the option of `add_record_option`, begins a `Recording` before it measures and writes
one `Record` per measurement. `harness/pages.py` makes the pages of docs/measurements/ from the records.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "measurements"
RECORDS = "records"
"""Folder of the records below the pages."""
PAGES = ("promise", "training", "serving", "robustness")

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DROPPED_OPTIONS = ("--record", "--out")
"""Options that say where to write; they are no part of the command that repeats a measurement."""


class RecordError(ValueError):
    """A record file is damaged or does not fit; the message names the file and the field."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure that readers rely on."""

    claim: str
    value: str
    """Measured value with its unit and, if it was repeated, its range."""
    target: str = ""
    """Bound that was set beforehand; empty if none was."""
    met: bool | None = None
    """Whether the target is met; None exactly if there is none."""


@dataclass(frozen=True, slots=True)
class Record:
    """One measurement."""

    name: str
    """Lower-case words with hyphens; the name of its files."""
    page: str
    """One of PAGES."""
    title: str
    about: str
    """Markdown: what is measured and how, before the table."""
    claims: tuple[Claim, ...]
    detail: str
    """Markdown: tables and remarks."""
    date: str
    """ISO date on which it was measured."""
    machine: str
    command: str
    """Shell command that repeats it; empty if no single command does."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise RecordError(f"name is {self.name!r}; it takes lower-case words with hyphens")
        if self.page not in PAGES:
            raise RecordError(f"{self.name}: page is {self.page!r}, not one of {', '.join(PAGES)}")
        date.fromisoformat(self.date)
        for claim in self.claims:
            if (claim.met is None) != (claim.target == ""):
                raise RecordError(f"{self.name}: {claim.claim!r} needs both a target and `met`, or neither")

    def write(self, folder: Path, raw: str) -> Path:
        """Write NAME.json and NAME.txt into `folder`/records and return the path of the former."""
        records = folder / RECORDS
        records.mkdir(parents=True, exist_ok=True)
        fields = {**asdict(self), "about": self.about.splitlines(), "detail": self.detail.splitlines()}
        path = records / f"{self.name}.json"
        # Verdicts that come from NumPy's comparisons are its scalars.
        text = json.dumps(fields, indent=1, ensure_ascii=False, default=lambda scalar: scalar.item())
        path.write_text(text + "\n", encoding="utf-8")
        path.with_suffix(".txt").write_text(raw.strip("\n") + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """The record of a file. Raises RecordError."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            claims = tuple(Claim(**claim) for claim in fields.pop("claims"))
            texts = {name: "\n".join(fields.pop(name)) for name in ("about", "detail")}
            record = cls(**fields, **texts, claims=claims)
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{path.name}: {error}") from error
        if record.name != path.stem:
            raise RecordError(f"{path.name}: the name in it is {record.name!r}")
        return record


@dataclass(frozen=True, slots=True)
class Recording:
    """Date, machine and command of a measurement that begins now; without a folder nothing is written."""

    folder: Path | None
    command: str
    machine: str
    date: str

    @classmethod
    def begin(cls, folder: Path | None, command: str | None = None) -> Self:
        """Note what is known before measuring: the machine's load then is not the benchmark's own."""
        return cls(folder, command or command_line(), describe_machine(), date.today().isoformat())

    def save(
        self,
        name: str,
        page: str,
        title: str,
        *,
        about: str,
        claims: Sequence[Claim],
        detail: str,
        raw: str,
    ) -> None:
        """Write one record, if there is a folder."""
        if self.folder is None:
            return
        record = Record(
            name=name,
            page=page,
            title=title,
            about=about,
            claims=tuple(claims),
            detail=detail,
            date=self.date,
            machine=self.machine,
            command=self.command,
        )
        path = record.write(self.folder, raw)
        print(f"recorded: {path.name}; `python benchmarks/pages.py` makes the pages", file=sys.stderr)


def add_record_option(parser: argparse.ArgumentParser) -> None:
    """`--record [FOLDER]`: write the record, by default for docs/measurements/."""
    parser.add_argument(
        "--record",
        type=Path,
        nargs="?",
        const=FOLDER,
        metavar="FOLDER",
        help="write the figures as a record for docs/measurements/, or for another folder",
    )


def command_line() -> str:
    """The command that this process was started with, relative to the repository and without --record."""
    script = Path(sys.argv[0]).resolve()
    name = script.relative_to(ROOT) if script.is_relative_to(ROOT) else Path(script.name)
    words = ["python", str(name)]
    dropping = False
    for word in sys.argv[1:]:
        if word.split("=")[0] in _DROPPED_OPTIONS:
            dropping = "=" not in word
        elif dropping and not word.startswith("-"):
            dropping = False
        else:
            dropping = False
            words.append(word)
    data = "DEMUR_DATA=... " if "DEMUR_DATA" in os.environ else ""
    return data + shlex.join(words)


def describe_machine() -> str:
    """Processor, cores and how many of them other programs keep busy."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0]
    state = "otherwise quiet" if load < 0.3 else f"{load:.1f} cores busy with other programs"
    return f"{cores} {'core' if cores == 1 else 'cores'} of {_processor()}, {state}"


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
