"""Make the pages of docs/measurements/ from its records.

    python benchmarks/pages.py [FOLDER]

The records come from the benchmarks (`--record`) and from the slow tests (`DEMUR_RECORD=docs/measurements`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.pages import write_pages
from harness.record import FOLDER, RecordError


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    given = parser.parse_args()
    try:
        write_pages(given.folder)
    except RecordError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
