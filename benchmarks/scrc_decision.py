"""What SCRC-T costs: set-up once, then each decision, alone and in batches.

python benchmarks/scrc_decision.py [--calibration 100000] [--repeats 7]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from calibration.certificate import RiskTarget
from calibration.decision import StageRule, decide_stage
from calibration.scores import StageOutputs
from calibration.scrc import ScrcScores, ScrcT, ScrcTerms, selector_and_classifier


def best_time(action: Callable[[], object], repeats: int) -> float:
    """Best wall seconds of `repeats`."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calibration", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    n = options.calibration
    labels = generator.integers(0, 2, n)
    logits = generator.normal(0.0, 1.0, (n, 2))
    logits[np.arange(n), labels] += 4.0
    base = StageRule(score="margin")
    g, f = selector_and_classifier(StageOutputs(logits), base)
    target = RiskTarget(alpha=0.01)

    def fit() -> ScrcT:
        return ScrcT.fit(ScrcScores(g, f, labels), target, ScrcTerms(acceptance=0.8), answer_share=0.95)

    policy = fit()
    print(f"set-up on {n} calibration units: {1e3 * best_time(fit, options.repeats):.2f} ms")
    rows = [(float(c), tuple(p)) for c, p in zip(g[:100_000].tolist(), f[:100_000].tolist(), strict=True)]

    def one_by_one() -> None:
        decide = policy.predict_set
        for confidence, probabilities in rows:
            decide(confidence, probabilities)

    each = best_time(one_by_one, options.repeats) / len(rows)
    print(f"one decision from its confidence and probabilities: {1e6 * each:.3f} microseconds")
    rule = policy.stage_rule(base)
    for batch in (1, 8, 64, 4096):
        raw = StageOutputs(logits[:batch])

        def serve(raw: StageOutputs = raw) -> None:
            for _ in range(max(1, 2000 // len(raw))):
                decide_stage(raw, rule)

        calls = max(1, 2000 // batch)
        each = best_time(serve, options.repeats) / (calls * batch)
        print(
            f"from raw logits by the serving rule, batch {batch:5d}: {1e6 * each:.3f} microseconds an image"
        )


if __name__ == "__main__":
    main()
