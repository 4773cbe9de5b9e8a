"""The soak test in seconds: full load with labels, bundle changes under load, and a stop.

`DEMUR_SLOW=1` extends it to minutes. `benchmarks/soak.py` runs the same trials on a real model.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.tiny_bundle import ABSTAINED, ANSWERED_BY_A, ANSWERED_BY_B, write_tiny_bundle
from harness.memory import growth
from harness.servers import DEMUR
from harness.soak_trials import Stored, reload_under_load, soak, stop_under_load

SLOW = os.environ.get("DEMUR_SLOW") == "1"
CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def images(make_colour_image: Callable[..., bytes]) -> list[bytes]:
    strengths = (ANSWERED_BY_A, ANSWERED_BY_B, ABSTAINED)
    return [make_colour_image(1, strength, size=(240, 320)) for strength in strengths]


@pytest.fixture
def steps() -> list[str]:
    return []


@pytest.mark.slow
def test_full_load_loses_no_event_and_no_request(
    tiny_bundle: Path, images: list[bytes], tmp_path: Path, steps: list[str]
) -> None:
    seconds = 120.0 if SLOW else 2.0
    found = soak(
        tiny_bundle, images, tmp_path, CORES, workers=2, clients=8, seconds=seconds, step=steps.append
    )
    assert found.tally.answered > 50
    assert found.tally.labelled == found.tally.answered
    assert (found.tally.lost, found.tally.refused, found.tally.unreachable) == (0, {}, 0)
    assert found.events.all_there, found.events
    assert found.stored == Stored(found.tally.answered, found.tally.labelled)
    workers = [series for name, series in found.memory.items() if name.startswith("worker")]
    assert len(workers) == 2
    if SLOW:
        settled = [series[series[:, 0] > seconds / 4] for series in workers]
        assert not any(growth(series[:, 0], series[:, 1]).grows for series in settled)


@pytest.mark.slow
def test_bundles_that_change_under_load_cost_no_request(
    images: list[bytes], tmp_path: Path, steps: list[str]
) -> None:
    bundles = [write_tiny_bundle(tmp_path / "bundles" / name, name=name) for name in ("one", "two")]
    times = 20 if SLOW else 2
    found = reload_under_load(
        bundles, images, tmp_path, CORES, workers=2, clients=16, times=times, pause=0.3, step=steps.append
    )
    assert (found.tally.lost, found.tally.refused, found.tally.unreachable) == (0, {}, 0)
    assert set(found.tally.bundles) == {"one", "two"}
    assert found.events is not None
    assert found.events.all_there, found.events
    assert len(found.workers_mb) == times
    if SLOW:
        assert found.workers_mb[-1] < 1.1 * found.workers_mb[times // 4]


@pytest.mark.slow
def test_stops_and_restarts_under_load_cost_no_accepted_request(
    tiny_bundle: Path, images: list[bytes], tmp_path: Path, steps: list[str]
) -> None:
    times = 10 if SLOW else 1
    found = stop_under_load(
        DEMUR,
        tiny_bundle,
        images,
        tmp_path,
        CORES,
        workers=2,
        clients=16,
        times=times,
        pause=0.6,
        step=steps.append,
    )
    assert found.tally.answered > 50
    assert (dict(found.tally.dropped), dict(found.tally.refused)) == ({}, {})
    assert [(stop.orphans, stop.exit_code) for stop in found.stops] == [(0, 0)] * times
    # Predictions answered before a stop are in the store after it.
    assert found.counted == found.tally.answered
