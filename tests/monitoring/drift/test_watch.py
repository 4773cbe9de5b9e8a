"""The watch: when it looks, what it concludes, and what it says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.drift_rows import reference_sample, sampled_rows, signal_rows

from calibration.drift.signals import SignalSample
from monitoring.drift.conclusion import Conclusion
from monitoring.drift.sample_folder import SampleFolder
from monitoring.drift.watch import LOOK_EVERY, LOOKS_PER_WEEK, DriftPolicy, DriftWatch

NOW = 1_790_000_000.0
WEEK = 7 * 86_400.0


@pytest.fixture
def folder(tmp_path: Path) -> SampleFolder:
    return SampleFolder(tmp_path / "drift")


def fill(folder: SampleFolder, at: float, *, n: int = 260, seed: int = 0, brightness: float = 0.5) -> None:
    folder.append(sampled_rows(signal_rows(n, seed, brightness=brightness), at, seed=seed))


class TestLooks:
    def test_too_few_images_wait(self, folder: SampleFolder) -> None:
        watch = DriftWatch(folder, reference_sample(), DriftPolicy())
        fill(folder, NOW, n=249)
        assert watch.look(NOW) is None
        assert folder.waiting == 249

    def test_one_look_an_hour(self, folder: SampleFolder) -> None:
        watch = DriftWatch(folder, reference_sample(), DriftPolicy())
        fill(folder, NOW)
        assert watch.look(NOW) is not None
        fill(folder, NOW + 60, seed=1)
        assert watch.look(NOW + LOOK_EVERY - 1) is None
        assert watch.look(NOW - 3600) is None  # a clock that was set back makes no further looks
        assert watch.look(NOW + LOOK_EVERY) is not None

    def test_a_look_from_a_wrong_clock_is_ignored(self, folder: SampleFolder) -> None:
        watch = DriftWatch(folder, reference_sample(), DriftPolicy())
        fill(folder, NOW)
        assert watch.look(NOW + 1e9) is not None
        fill(folder, NOW, seed=1)
        assert watch.look(NOW) is not None

    def test_another_worker_reads_the_conclusion(self, folder: SampleFolder) -> None:
        fill(folder, NOW, brightness=0.3)
        found = DriftWatch(folder, reference_sample(), DriftPolicy()).look(NOW)
        other = DriftWatch(SampleFolder(folder.folder), reference_sample(), DriftPolicy())
        assert other.latest() == found
        assert not other.due(NOW + 1)

    def test_the_weekly_rate_is_divided_among_the_hours(self) -> None:
        assert DriftPolicy(0.05).level * LOOKS_PER_WEEK == pytest.approx(0.05)


class TestConclusions:
    def look(self, folder: SampleFolder, **options: float) -> Conclusion:
        fill(folder, NOW, **options)  # type: ignore[arg-type]
        found = DriftWatch(folder, reference_sample(), DriftPolicy()).look(NOW)
        assert found is not None
        return found

    def test_a_quiet_window(self, folder: SampleFolder) -> None:
        found = self.look(folder)
        assert not found.alarm
        assert found.sentence() == (
            "no drift between the last 260 images and 600 images of val_select; "
            "all tests together give 0.05 false alarms per week at most"
        )
        said = found.performance_sentence()
        assert said is not None
        assert said.startswith("if the probabilities still mean what they did, 97")
        assert "in the reference" in said

    def test_a_window_that_moved(self, folder: SampleFolder) -> None:
        found = self.look(folder, brightness=0.3)
        assert found.alarm_since == NOW
        assert [shift.name for shift in found.moved] == ["brightness"]
        assert "brightness went from 0.504 to 0.291;" in found.sentence()

    def test_an_alarm_has_the_time_of_its_first_window(self, folder: SampleFolder) -> None:
        watch = DriftWatch(folder, reference_sample(), DriftPolicy())
        seen = []
        for hour, brightness in enumerate([0.3, 0.3, 0.5, 0.3]):
            at = NOW + hour * LOOK_EVERY
            fill(folder, at, seed=hour, brightness=brightness)
            found = watch.look(at)
            assert found is not None
            seen.append(found.alarm_since)
        assert seen == [NOW, NOW, None, NOW + 3 * LOOK_EVERY]

    def test_units_that_are_not_named_are_an_assumption(self, folder: SampleFolder) -> None:
        rows = sampled_rows(signal_rows(260), NOW)
        folder.append([replace(rows[0], with_unit=False), *rows[1:]])
        found = DriftWatch(folder, reference_sample(), DriftPolicy()).look(NOW)
        assert found is not None
        assert "assuming that images do not depend on each other" in found.sentence()

    def test_a_small_reference_concludes_nothing(self, folder: SampleFolder) -> None:
        fill(folder, NOW, brightness=0.1)
        found = DriftWatch(folder, reference_sample(60), DriftPolicy()).look(NOW)
        assert found is not None
        assert not found.alarm
        assert "the bundle's reference holds 60 images" in found.sentence()

    def test_an_empty_sample_of_signals(self, folder: SampleFolder) -> None:
        bare = SignalSample({}, {}, np.full(200, np.nan))
        fill(folder, NOW)
        found = DriftWatch(folder, bare, DriftPolicy()).look(NOW)
        assert found is not None
        assert (found.alarm, found.shifts, found.joint_p_value) == (False, (), None)

    def test_audits_that_contradict_the_probabilities(self, folder: SampleFolder) -> None:
        found = self.look(folder)
        apart = found.performance_sentence((0.2, 0.3))
        beside = found.performance_sentence((0.001, 0.3))
        assert apart is not None
        assert "the audits say that 20 to 30 % are wrong, the probabilities 2." in apart
        assert apart.endswith("which contradict each other: the probabilities no longer mean what they did")
        assert beside is not None
        assert "0.1 to 30 % are wrong" in beside
        assert "contradict" not in beside

    def test_the_report_keeps_the_audits_of_its_time(self, folder: SampleFolder) -> None:
        watch = DriftWatch(folder, reference_sample(), DriftPolicy())
        fill(folder, NOW)
        watch.look(NOW, (0.2, 0.3))
        kept = watch.latest()
        assert kept is not None
        assert "the audits say that 20 to 30 % are wrong" in (kept.performance_sentence() or "")
        assert "40 to 50 %" in (kept.performance_sentence((0.4, 0.5)) or "")

    def test_a_risk_that_has_risen_lately_is_no_contradiction(self, folder: SampleFolder) -> None:
        """Audits and probabilities are compared over all windows so far, not over the last one."""
        watch = DriftWatch(folder, reference_sample(), DriftPolicy())
        for hour, right in enumerate([0.99, 0.99, 0.99, 0.9]):
            at = NOW + hour * LOOK_EVERY
            rows = [replace(row, right=right) for row in signal_rows(260, hour)]
            folder.append(sampled_rows(rows, at, seed=hour))
            found = watch.look(at)
        assert found is not None
        assert found.expected.risk is not None
        assert found.expected.risk.value == pytest.approx(0.1)
        assert found.risk_so_far is not None
        assert found.risk_so_far.value == pytest.approx(0.0325, abs=0.002)
        assert "contradict" not in (found.performance_sentence((0.02, 0.05)) or "")

    def test_the_share_answered_is_named(self, folder: SampleFolder) -> None:
        folder.append(sampled_rows(signal_rows(260, answered=0.4), NOW))
        found = DriftWatch(folder, reference_sample(), DriftPolicy()).look(NOW)
        assert found is not None
        assert "the share of answers went from 90.3 to 40 %" in found.sentence()


@pytest.mark.parametrize(
    "change",
    [
        {"images": "many"},
        {"shifts": [{"name": 1}]},
        {"shifts": None},
        {"alarm_since": "yesterday"},
        {"expected": {"accuracy": 0.5, "risk": None}},
        {"audited_risk": [0.1]},
        {"against": "elsewhere"},
    ],
)
def test_a_tampered_conclusion_is_none(folder: SampleFolder, change: dict[str, Any]) -> None:
    watch = DriftWatch(folder, reference_sample(), DriftPolicy())
    fill(folder, NOW, brightness=0.3)
    assert watch.look(NOW) is not None
    path = folder.folder / "latest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert watch.latest() is None


class TestSeason:
    def test_the_same_hours_of_earlier_weeks(self, folder: SampleFolder) -> None:
        """Nights are dark every week: no drift against those of earlier weeks."""
        watch = DriftWatch(folder, reference_sample(), DriftPolicy(season_weeks=2))
        fill(folder, NOW, brightness=0.2)
        first = watch.look(NOW)
        assert first is not None
        assert "earlier weeks hold 0 images" in first.sentence()
        fill(folder, NOW + WEEK / 2, seed=1)
        watch.look(NOW + WEEK / 2)
        fill(folder, NOW + WEEK, seed=2, brightness=0.2)
        second = watch.look(NOW + WEEK)
        assert second is not None
        assert (second.alarm, second.n_reference) == (False, 260)
        assert "the same hours of earlier weeks" in second.sentence()
        fill(folder, NOW + 2 * WEEK, seed=3, brightness=0.5)
        third = watch.look(NOW + 2 * WEEK)
        assert third is not None
        assert (third.alarm, third.n_reference) == (True, 520)
