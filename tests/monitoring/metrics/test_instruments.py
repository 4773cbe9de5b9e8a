"""What the instruments show, over several workers."""

from __future__ import annotations

from monitoring.metrics.instruments import Instruments
from monitoring.metrics.promotion_instruments import PromotionInstruments
from monitoring.metrics.worker_files import shared_metrics
from monitoring.promise.reading import Reading, SignalReading


def test_counts_of_the_store_are_shown_once_and_never_fall() -> None:
    """All workers show the same figure; a store that is filled again begins at 0."""
    with shared_metrics():
        for worker in (Instruments(), Instruments()):
            for drawn in (5, 7, 3):
                worker.show_audits("b:1", {"drawn": drawn})
        shown = Instruments().render().decode()
    assert 'demur_audits_total{bundle="b:1",outcome="drawn"} 7.0' in shown
    assert "# TYPE demur_audits_total counter" in shown


def test_the_promise_is_shown_by_part_and_signal() -> None:
    """An alarm stands until a person resets it, whatever the value does afterwards."""
    broken = SignalReading("broken", "all", 2.5, peak=31.0, threshold=20.0, tested=0.01)
    worse = SignalReading("worse", "all", 0.25, peak=1.0, threshold=20.0, tested=0.005)
    reading = Reading("b:1", since=0.0, audits=1_240, risk=(0.002, 0.009), signals=(broken, worse))
    with shared_metrics():
        instruments = Instruments()
        instruments.show_promise(reading, [("broken", "all")])
        shown = instruments.render().decode()
    for line in (
        'demur_promise_e_value{bundle="b:1",part="all",signal="broken"} 2.5',
        'demur_promise_e_value{bundle="b:1",part="all",signal="worse"} 0.25',
        'demur_promise_alarm{bundle="b:1",part="all",signal="broken"} 1.0',
        'demur_promise_alarm{bundle="b:1",part="all",signal="worse"} 0.0',
        'demur_promise_risk_low{bundle="b:1"} 0.002',
        'demur_promise_risk_high{bundle="b:1"} 0.009',
        'demur_promise_audits{bundle="b:1"} 1240.0',
    ):
        assert line in shown


def test_a_promotion_is_in_one_phase_at_a_time() -> None:
    with shared_metrics():
        instruments = PromotionInstruments()
        instruments.show("signs", None)
        assert "demur_promotion_phase" not in Instruments().render().decode()
        for phase in ("canary", "rolled-back"):
            instruments.show("signs", phase)
        shown = Instruments().render().decode()
    assert 'demur_promotion_phase{fleet="signs",phase="canary"} 0.0' in shown
    assert 'demur_promotion_phase{fleet="signs",phase="rolled-back"} 1.0' in shown
