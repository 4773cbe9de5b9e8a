"""Installed size of the service: `.[serve,cpu]` in a fresh virtual environment, by package.

    python benchmarks/footprint.py [--most 400] [--record [FOLDER]]

Installs with the versions of constraints.txt. The exit code is 1 if the total exceeds `--most`
megabytes, or if torch, transformers or pyarrow is among the packages.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option
from harness.venvs import install, new_venv

ROOT = Path(__file__).resolve().parents[1]
UNWANTED = ("torch", "transformers", "peft", "pyarrow", "pandas", "matplotlib")
_SHOWN = 12
_LOOK = """
import json
from importlib.metadata import distributions
sizes = {}
for found in distributions():
    files = [found.locate_file(file) for file in found.files or ()]
    sizes[found.name] = sum(file.stat().st_size for file in files if file.is_file())
print(json.dumps(sizes))
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--most", type=float, default=400.0, help="megabytes")
    add_record_option(parser)
    given = parser.parse_args(arguments)
    recording = Recording.begin(given.record)
    with tempfile.TemporaryDirectory(prefix="footprint-") as folder:
        python = new_venv(Path(folder) / "venv")
        install(python, "-c", str(ROOT / "constraints.txt"), f"{ROOT}[serve,cpu]")
        found = subprocess.run([python, "-c", _LOOK], check=True, capture_output=True, text=True)
        sizes: dict[str, int] = json.loads(found.stdout)
        # Every file of the environment, compiled bytecode included.
        files = [file for file in Path(folder).rglob("*") if file.is_file() and not file.is_symlink()]
        total = sum(file.stat().st_size for file in files) / 1e6
    rows = sorted(sizes.items(), key=lambda item: -item[1])
    table = [[name, f"{size / 1e6:.1f}"] for name, size in rows[:_SHOWN]]
    table.append([f"{len(rows) - _SHOWN} others", f"{sum(size for _, size in rows[_SHOWN:]) / 1e6:.1f}"])
    shown = markdown(["package", "MB"], table)
    weight = f"{total:.0f} MB in {len(rows)} packages"
    print(f"{shown}\ninstalled: {weight}")
    unwanted = sorted(set(sizes) & set(UNWANTED))
    recording.save(
        "footprint",
        "serving",
        "Installed size",
        about="`.[serve,cpu]` in a fresh virtual environment, with the versions of `constraints.txt`; "
        f"without {', '.join(UNWANTED)}.",
        claims=[
            Claim(
                "installed size of `.[serve,cpu]`",
                weight,
                f"at most {given.most:.0f} MB",
                total <= given.most and not unwanted,
            )
        ],
        detail=shown,
        raw=f"{shown}\ninstalled: {weight}",
    )
    if unwanted:
        sys.exit(f"not wanted where it serves: {', '.join(unwanted)}")
    if total > given.most:
        sys.exit(f"{total:.0f} MB are more than {given.most:.0f}")


if __name__ == "__main__":
    main()
