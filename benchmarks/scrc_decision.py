"""Time of SCRC-T: the set-up, and each decision, alone and in batches.

python benchmarks/scrc_decision.py [--calibration 100000] [--repeats 7] [--record [FOLDER]]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option

from calibration.certificate import RiskTarget
from calibration.decision import StageRule, decide_stage
from calibration.scores import StageOutputs
from calibration.scrc import ScrcScores, ScrcT, ScrcTerms, selector_and_classifier


def best_time(action: Callable[[], object], repeats: int) -> float:
    """Best wall-clock seconds of `repeats` calls."""
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
    add_record_option(parser)
    options = parser.parse_args()
    recording = Recording.begin(options.record)
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
    rows = [[f"set-up on {n:,} calibration units", f"{1e3 * best_time(fit, options.repeats):.2f} ms"]]
    inputs = [(float(c), tuple(p)) for c, p in zip(g[:100_000].tolist(), f[:100_000].tolist(), strict=True)]

    def one_by_one() -> None:
        decide = policy.predict_set
        for confidence, probabilities in inputs:
            decide(confidence, probabilities)

    single = best_time(one_by_one, options.repeats) / len(inputs)
    rows.append(["one decision from confidence and probabilities", f"{1e6 * single:.3f} microseconds"])
    rule = policy.stage_rule(base)
    for batch in (1, 8, 64, 4096):
        raw = StageOutputs(logits[:batch])

        def serve(raw: StageOutputs = raw) -> None:
            for _ in range(max(1, 2000 // len(raw))):
                decide_stage(raw, rule)

        calls = max(1, 2000 // batch)
        each = best_time(serve, options.repeats) / (calls * batch)
        rows.append(
            [
                f"from raw logits by the serving rule, batch {batch}",
                f"{1e6 * each:.3f} microseconds per image",
            ]
        )
    text = "\n".join(f"{what}: {time_taken}" for what, time_taken in rows)
    print(text)
    recording.save(
        "scrc-decision-speed",
        "promise",
        "Speed of one SCRC-T decision",
        about=f"The best of {options.repeats} repeats.",
        claims=[
            Claim("one SCRC-T decision from confidence and probabilities", f"{1e6 * single:.2f} microseconds")
        ],
        detail=markdown(["step", "time"], rows),
        raw=text,
    )


if __name__ == "__main__":
    main()
