"""Cost of the first steps: `make venv`, `demur --help`, `demur inspect`, `demur verify` and the demo.

    python benchmarks/first_steps.py [--venvs 3] [--runs 9] [--bundle DIR] [--demo] [--record [FOLDER]]

The tree is copied without what git ignores, and each `make venv` runs in a fresh copy. The first fills the
cache of the package index and does not count, so that the others measure a warm one; with `--venvs 0` the
environment of this interpreter is used as it is. The verbs run in the last environment, on `--bundle` or a
small bundle of two stages; the first run of a verb compiles its modules and is given apart from the median.
`--demo` runs the demo too, without its service at the end.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from fakes.tiny_bundle import write_tiny_bundle

ROOT = Path(__file__).resolve().parents[1]
MOST_SECONDS = {
    "make venv": 120.0,
    "demur --help": 0.3,
    "demur inspect": 1.0,
    "demur verify": 1.0,
    "make demo": 300.0,
}
"""Largest median of each step"""


@dataclass(frozen=True)
class Step:
    """Measured times of one step, seconds."""

    name: str
    seconds: tuple[float, ...]
    """Those that count"""
    first: float | None = None
    """The first run, if it does not count"""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def claim(self) -> Claim:
        most = MOST_SECONDS[self.name]
        low, high = min(self.seconds), max(self.seconds)
        spread = f" ({low:.2f} to {high:.2f})" if len(self.seconds) > 1 else ""
        return Claim(
            f"`{self.name}`: median seconds",
            f"{self.median:.2f}{spread} s",
            f"at most {most:g} s",
            self.median <= most,
        )

    def row(self) -> list[str]:
        first = "" if self.first is None else f"{self.first:.2f}"
        return [
            f"`{self.name}`",
            first,
            f"{self.median:.2f}",
            f"{min(self.seconds):.2f}",
            f"{max(self.seconds):.2f}",
            str(len(self.seconds)),
        ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--venvs", type=int, default=3, help="environments that count; 0: none is made")
    parser.add_argument("--runs", type=int, default=9, help="runs of each verb that count")
    parser.add_argument("--bundle", type=Path, help="bundle to inspect and verify; default: a small one")
    parser.add_argument("--demo", action="store_true", help="run the demo too (minutes)")
    add_record_option(parser)
    given = parser.parse_args(arguments)
    recording = Recording.begin(given.record)
    with tempfile.TemporaryDirectory(prefix="first-steps-") as name:
        folder = Path(name)
        venvs, demur = _venvs(folder, given.venvs)
        bundle = given.bundle or write_tiny_bundle(folder / "bundle")
        steps = [
            *venvs,
            _verb("demur --help", [demur, "--help"], given.runs),
            _verb("demur inspect", [demur, "inspect", bundle], given.runs),
            _verb("demur verify", [demur, "verify", bundle], given.runs),
        ]
        if given.demo:
            steps.append(
                Step("make demo", (_seconds([demur, "demo", "--no-serve", "--out", folder / "demo"]),))
            )
    shown = markdown(
        ["step", "first, s", "median, s", "smallest", "largest", "runs"], [s.row() for s in steps]
    )
    print(shown)
    recording.save(
        "first-steps",
        "training",
        "The first steps",
        about="What a new user waits for. `make venv` in a fresh copy of the tree, with the packages of the "
        "index in pip's cache; the verbs in that environment, as separate processes. *first*: the run that "
        "fills the cache, or compiles the modules, and does not count.",
        claims=[step.claim() for step in steps],
        detail=shown,
        raw=shown,
    )


def _venvs(folder: Path, count: int) -> tuple[list[Step], Path]:
    """The step `make venv`, and the command line of the last environment; without one, of this one."""
    if count == 0:
        return [], Path(sys.executable).with_name("demur")
    seconds = []
    for number in range(count + 1):
        copy = _copy_of_tree(folder / f"copy-{number}")
        seconds.append(_seconds(["make", "-C", copy, "venv", f"PYTHON={_outer_python()}"]))
        if number < count:
            shutil.rmtree(copy)
    return [Step("make venv", tuple(seconds[1:]), seconds[0])], copy / ".venv" / "bin" / "demur"


def _copy_of_tree(target: Path) -> Path:
    """The files of the tree that git does not ignore, changed ones included."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    return target


def _outer_python() -> str:
    """The interpreter that this environment was made from."""
    return os.path.realpath(sys.executable)


def _verb(name: str, command: Sequence[str | Path], runs: int) -> Step:
    first = _seconds(command)
    return Step(name, tuple(_seconds(command) for _ in range(runs)), first)


def _seconds(command: Sequence[str | Path]) -> float:
    """Wall seconds of a command, which must succeed."""
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return seconds


if __name__ == "__main__":
    main()
