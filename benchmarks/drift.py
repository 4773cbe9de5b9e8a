"""Drift: how often quiet weeks alarm, how soon night, fog and a new city are noticed, and the test's cost.

    python benchmarks/drift.py [--bundle RUN/bundle] [--weeks 100] [--runs 100] [--record [FOLDER]]

The images are rendered scenes; reference, weeks and shifts are random draws of them. With a bundle of the
scenes its margins, gates and decisions are among the signals, otherwise the look of the images alone.
"""

from __future__ import annotations

import os

# One core: the cost of the joint test is that of a thread that serves beside others.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import process_time

import numpy as np
from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option

from bundle.images.appearance import appearance
from bundle.images.decode import decode
from bundle.loader import load_bundle
from bundle.signals import observe
from calibration.drift.comparison import LEAST_IMAGES, compare
from calibration.drift.mmd import PERMUTATIONS, mmd_test
from calibration.drift.signals import SignalRow, SignalSample
from monitoring.drift.unit_sampler import UnitSampler
from monitoring.drift.watch import LOOKS_PER_WEEK, DriftPolicy
from trainer.scenes.generate import iter_frames
from trainer.scenes.options import SceneOptions

IMAGES_PER_WEEK = 5_000
SHIFTS: Mapping[str, Mapping[str, tuple[object, ...]]] = {
    "night": {"hour": (21, 22, 23, 0, 1, 2, 3, 4, 5)},
    "fog": {"weather": ("fog",)},
    "a new city": {"district": ("outskirts", "harbour")},
}
"""What the images of a shift have; those of a new city are none of the reference's districts"""
COST_SHAPE = (500, 200, 32)
"""Images of the reference and of the window, and numbers of each, whose joint test is timed"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="bundle of the scenes, whose outputs are signals too")
    parser.add_argument("--scenes", type=int, default=6_000, help="scenes to render")
    parser.add_argument("--reference", type=int, default=400, help="images of a reference")
    parser.add_argument("--weeks", type=int, default=100, help="quiet weeks")
    parser.add_argument("--runs", type=int, default=100, help="runs of each shift")
    add_record_option(parser)
    options = parser.parse_args()
    recording = Recording.begin(options.record)
    sample, metadata = rendered(options.scenes, options.bundle)
    new_city = matching(metadata, SHIFTS["a new city"])
    usual = np.flatnonzero(~new_city)
    rng = np.random.default_rng(0)
    quiet = quiet_weeks(rng, sample, usual, options.reference, options.weeks)
    lines = [f"quiet weeks with an alarm: {quiet} of {options.weeks}"]
    claims = [
        Claim(
            f"quiet weeks of {IMAGES_PER_WEEK:,} images with any alarm of drift",
            f"{quiet} of {options.weeks}",
            f"at most {options.weeks // 10}",
            quiet <= options.weeks / 10,
        )
    ]
    rows = []
    for name, wanted in SHIFTS.items():
        moved = np.flatnonzero(matching(metadata, wanted))
        needed = [images_to_alarm(rng, sample, usual, moved, options.reference) for _ in range(options.runs)]
        median, late = np.quantile(needed, [0.5, 0.95], method="higher")
        rows.append([name, f"{len(moved):,}", f"{median:.0f}", f"{late:.0f}"])
        lines.append(f"{name}: {median:.0f} images to the alarm (median), {late:.0f} in 95 % of the runs")
        claims.append(
            Claim(f"images to notice {name}, in 95 % of runs", f"{late:.0f}", "at most 500", late <= 500)
        )
    for said, claim in costs():
        lines.append(said)
        claims.append(claim)
    text = "\n".join(lines)
    print(text)
    recording.save(
        "drift",
        "promise",
        "Drift without labels",
        about=f"Scenes against a reference of {options.reference} others, compared after every "
        f"{LEAST_IMAGES} images at one false alarm in {1 / DriftPolicy().false_alarms:.0f} weeks, divided "
        f"among {LOOKS_PER_WEEK} comparisons a week. A shift begins at a random place between two of them; "
        "its images are counted until the alarm.",
        claims=claims,
        detail=markdown(["shift", "scenes of it", "median images", "95 % of runs"], rows),
        raw=text,
    )


def costs() -> Iterator[tuple[str, Claim]]:
    """(line, claim) of the joint test and of what a request pays for the sample."""
    m, n, d = COST_SHAPE
    seconds, drawing = joint_test_seconds(), draw_seconds()
    yield (
        f"joint test of {COST_SHAPE}: {1e3 * seconds:.0f} ms",
        Claim(
            f"joint test of {m} + {n} images of {d} numbers, {PERMUTATIONS} permutations, one core",
            f"{1e3 * seconds:.0f} ms",
            "at most 150 ms",
            seconds <= 0.15,
        ),
    )
    yield (
        f"drawing: {1e6 * drawing:.1f} us per request",
        Claim(
            "CPU that drawing a sample adds to a request",
            f"{1e6 * drawing:.1f} us",
            "at most 20 us, with events and audits",
            drawing <= 20e-6,
        ),
    )


def rendered(scenes: int, bundle: Path | None) -> tuple[SignalSample, dict[str, list[object]]]:
    """(signals, metadata by name) of rendered scenes."""
    runner = None if bundle is None else load_bundle(bundle).runner
    rows: list[SignalRow] = []
    metadata: dict[str, list[object]] = {}
    for frame in iter_frames(SceneOptions(sequences=scenes, seed=987_654), processes=os.cpu_count() or 1):
        if runner is None:
            look = appearance(frame.jpeg, decode(frame.jpeg, target=(224, 224)))
            rows.append(SignalRow(look, {}, float("nan")))
        else:
            rows.append(observe(runner, frame.jpeg))
        for name, value in frame.metadata.items():
            metadata.setdefault(name, []).append(value)
    return SignalSample.of(rows), metadata


def matching(
    metadata: Mapping[str, Sequence[object]], wanted: Mapping[str, tuple[object, ...]]
) -> np.ndarray:
    """[n], which scenes have the wanted metadata."""
    return np.logical_and.reduce(
        [np.array([value in values for value in metadata[name]]) for name, values in wanted.items()]
    )


def quiet_weeks(
    rng: np.random.Generator, sample: SignalSample, usual: np.ndarray, reference: int, weeks: int
) -> int:
    """Weeks with an alarm although nothing moved; a new reference every ten weeks."""
    alarms = 0
    before = sample.take(rng.choice(usual, reference))
    for week in range(weeks):
        if week % 10 == 0:
            before = sample.take(rng.choice(usual, reference))
        windows = (rng.choice(usual, LEAST_IMAGES) for _ in range(IMAGES_PER_WEEK // LEAST_IMAGES))
        alarms += any(alarm(before, sample.take(window), rng) for window in windows)
    return alarms


def images_to_alarm(
    rng: np.random.Generator, sample: SignalSample, usual: np.ndarray, moved: np.ndarray, reference: int
) -> int:
    """Images of a shift until the first alarm; it begins at a random place of a window."""
    before = sample.take(rng.choice(usual, reference))
    quiet = int(rng.integers(LEAST_IMAGES))
    seen = 0
    while seen < 10_000:
        window = np.concatenate([rng.choice(usual, quiet), rng.choice(moved, LEAST_IMAGES - quiet)])
        seen += LEAST_IMAGES - quiet
        if alarm(before, sample.take(window), rng):
            break
        quiet = 0
    return seen


def alarm(before: SignalSample, now: SignalSample, rng: np.random.Generator) -> bool:
    return compare(before, now, level=DriftPolicy().level, seed=int(rng.integers(2**31))).alarm


def draw_seconds(requests: int = 200_000) -> float:
    """CPU seconds that drawing adds to a request, of a thousand cameras at a hundred requests a second."""
    sampler = UnitSampler(500.0, 600.0)
    units = [f"camera-{number}" for number in range(1000)]
    began = process_time()
    for number in range(requests):
        sampler.draw(units[number % 1000], 1e9 + 0.01 * number)
    return (process_time() - began) / requests


def joint_test_seconds(repeats: int = 7) -> float:
    """CPU seconds of one joint test of samples that do not differ, the median."""
    rng = np.random.default_rng(1)
    m, n, d = COST_SHAPE
    before, now = rng.normal(size=(m, d)), rng.normal(size=(n, d))
    spent = []
    for seed in range(repeats):
        began = process_time()
        mmd_test(before, now, seed=seed)
        spent.append(process_time() - began)
    return float(np.median(spent))


if __name__ == "__main__":
    main()
