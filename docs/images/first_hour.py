"""Draw what the first verbs print and write: docs/images/terminal-inspect.svg, sheet.jpg and curve.png.

python docs/images/first_hour.py FOLDER      # with demo-run (`make demo`) and photos (README's first block)
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

OUT = Path(__file__).parent
WIDTH = 104
COMMAND = "demur inspect demo-run/bundle"
MOST_LINES = 15
"""Lines of the picture; of a longer output the first ones"""


def printed(command: str, folder: Path) -> list[str]:
    environment = os.environ | {"COLUMNS": str(WIDTH)}
    done = subprocess.run(
        shlex.split(command), cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.rstrip().splitlines()


def draw_terminal(command: str, lines: list[str], out: Path) -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {command}", style="bold"))
    for line in lines[:MOST_LINES]:
        console.print(Text(line))
    if len(lines) > MOST_LINES:
        console.print(Text("...", style="dim"))
    # Without the fonts of another host, so that the site needs no network.
    svg = re.sub(r"@font-face\s*{[^}]*}", "", console.export_svg(title="demur"))
    out.write_text(re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    draw_terminal(COMMAND, printed(COMMAND, folder), OUT / "terminal-inspect.svg")
    printed("demur data photos --sheet sheet.png --rows 3 --columns 6", folder)
    Image.open(folder / "sheet.png").save(OUT / "sheet.jpg", quality=80, optimize=True)
    shutil.copyfile(folder / "demo-run/metrics/risk_coverage_curve.png", OUT / "curve.png")


if __name__ == "__main__":
    main()
