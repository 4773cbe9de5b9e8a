"""Write the dashboards into `deploy/grafana/`: `python -m deploy.dashboards.write`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.dashboards.cascade import CASCADE
from deploy.dashboards.drift import DRIFT
from deploy.dashboards.experiment import EXPERIMENT
from deploy.dashboards.grafana import document
from deploy.dashboards.panel import Dashboard
from deploy.dashboards.promise import PROMISE
from deploy.dashboards.service import SERVICE

FOLDER: Final = Path(__file__).resolve().parents[1] / "grafana"
DASHBOARDS: Final[tuple[Dashboard, ...]] = (SERVICE, CASCADE, PROMISE, DRIFT, EXPERIMENT)


def main() -> None:
    for one in DASHBOARDS:
        (FOLDER / f"{one.name}.json").write_text(document(one), encoding="utf-8")


if __name__ == "__main__":
    main()
