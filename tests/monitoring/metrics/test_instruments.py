"""Metrics of several processes in one folder: a dead worker's counts remain, its empty files do not."""

from __future__ import annotations

import os
from pathlib import Path

from monitoring.metrics.instruments import AdminInstruments, Instruments, forget_worker, shared_metrics


def test_an_empty_file_of_a_killed_worker_does_not_break_the_scrape() -> None:
    with shared_metrics():
        folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        AdminInstruments().refusals.labels("wrong").inc()
        (folder / "counter_999999.db").touch()
        forget_worker(999_999)
        assert not (folder / "counter_999999.db").exists()
        # The counts of this process are in the folder, where every worker's scrape finds them.
        assert 'demur_admin_refusals_total{token="wrong"} 1.0' in Instruments().render().decode()
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
