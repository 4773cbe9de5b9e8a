"""AUGRC of a million answers, beside torch-uncertainty and the textbook argsort-and-trapezoid.

    python benchmarks/augrc.py [--n 1000000] [--repeats 7] [--record [FOLDER]]

torch-uncertainty is timed if it can be imported (it needs torchvision); nothing else needs it.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option

from calibration.metrics import augrc

Metric = Callable[[np.ndarray, np.ndarray], float]


def argsort_and_trapezoid(errors: np.ndarray, confidence: np.ndarray) -> float:
    """The definition, point by point; ties are counted in the order of the rows."""
    order = np.argsort(-confidence)
    answered_wrongly = np.concatenate(([0.0], np.cumsum(errors[order]))) / len(errors)
    return float(np.trapezoid(answered_wrongly, dx=1.0 / len(errors)))


def peer() -> Metric | None:
    """torch-uncertainty's metric, fed with two-class probabilities of the same confidences."""
    try:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torch_uncertainty.metrics.classification import AUGRC
    except (ImportError, RuntimeError) as problem:
        print(f"torch-uncertainty is left out: {problem}")
        return None

    def torch_uncertainty(errors: np.ndarray, confidence: np.ndarray) -> float:
        p = torch.from_numpy(confidence)
        metric = AUGRC()
        metric.update(torch.stack([1.0 - p, p], dim=1), torch.from_numpy((~errors).astype(np.int64)))
        return float(metric.compute())

    return torch_uncertainty


def best_time(
    metric: Metric, errors: np.ndarray, confidence: np.ndarray, repeats: int
) -> tuple[float, float]:
    """(value, best seconds of `repeats`)."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        value = metric(errors, confidence)
        seconds.append(time.perf_counter() - start)
    return value, min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=7)
    add_record_option(parser)
    options = parser.parse_args()
    recording = Recording.begin(options.record)
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.5, 1.0, options.n)
    errors = generator.random(options.n) > confidence
    metrics: dict[str, Metric] = {"calibration.augrc": augrc, "argsort and trapezoid": argsort_and_trapezoid}
    other = peer()
    if other is None and options.record:
        parser.error("--record compares with torch-uncertainty, which cannot be imported")
    if other is not None:
        metrics["torch-uncertainty"] = other
    ours = 0.0
    tied = np.full(1000, 0.9), np.arange(1000) < 100  # 10 % errors, all equally confident: 0.05
    title = f"n = {options.n}"
    lines = [f"{title:24s} {'value':>10s} {'ms':>9s} {'times ours':>11s}   all tied: errors first / last"]
    rows = []
    for name, metric in metrics.items():
        value, seconds = best_time(metric, errors, confidence, options.repeats)
        ours = ours or seconds
        first, last = metric(tied[1], tied[0]), metric(tied[1][::-1].copy(), tied[0])
        lines.append(
            f"{name:24s} {value:10.6f} {1e3 * seconds:9.2f} {seconds / ours:11.1f}   {first:.4f} / {last:.4f}"
        )
        rows.append([name, f"{1e3 * seconds:.1f}", f"{seconds / ours:.1f}", f"{first:.4f}, {last:.4f}"])
    text = "\n".join(lines)
    print(text)
    recording.save(
        "augrc-speed",
        "promise",
        "Speed of AUGRC",
        about=f"{options.n:,} answers, the best of {options.repeats} repeats. All tied: 1,000 answers of "
        "equal confidence, 10 % of them wrong, whose AUGRC is .05 in whatever order they come.",
        claims=[
            Claim(
                f"AUGRC of {options.n:,} answers",
                ", ".join(
                    [f"{1e3 * ours:.0f} ms", *(f"{row[2]} times faster than {row[0]}" for row in rows[1:])]
                ),
            )
        ],
        detail=markdown(["", "ms", "times ours", "all tied: errors first, errors last"], rows),
        raw=text,
    )


if __name__ == "__main__":
    main()
