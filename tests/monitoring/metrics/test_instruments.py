"""What the instruments show, over several workers."""

from __future__ import annotations

from monitoring.metrics.instruments import Instruments
from monitoring.metrics.worker_files import shared_metrics


def test_counts_of_the_store_are_shown_once_and_never_fall() -> None:
    """All workers show the same figure; a store that is filled again begins at 0."""
    with shared_metrics():
        for worker in (Instruments(), Instruments()):
            for drawn in (5, 7, 3):
                worker.show_audits("b:1", {"drawn": drawn})
        shown = Instruments().render().decode()
    assert 'demur_audits_total{bundle="b:1",outcome="drawn"} 7.0' in shown
    assert "# TYPE demur_audits_total counter" in shown
