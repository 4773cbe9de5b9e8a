"""MAPIE's risk monitor on streams of `monitors.py`: `python detect.py IN.npz OUT.json`.

It works its bound out again over the whole history with each label; the bounds of all of them come with the
last one, so the streams take one call each, and the cost of a label is measured apart.
"""

import json
import sys
import time

import numpy as np
from mapie.exchangeability_testing import RiskMonitoring

THRESHOLD, LEVEL = 0.01, 0.05
HISTORY = 4_000


def monitor():
    return RiskMonitoring(risk="accuracy", test_level=LEVEL, threshold=THRESHOLD, warn=False)


def predictions(wrong):
    """(label, prediction) of each answer; MAPIE's risk of the accuracy is the share of the right ones, whose
    complement is watched."""
    return np.ones(len(wrong), dtype=int), 1 - wrong.astype(int)


def first_alarm(wrong):
    watch = monitor()
    watch.update(*predictions(wrong))
    over = watch.online_risk_lower_bound_sequence_history > THRESHOLD
    return int(over.argmax()) + 1 if over.any() else None


def main():
    streams = np.load(sys.argv[1])
    alarms = {task: [first_alarm(wrong) for wrong in streams[task]] for task in streams.files}
    watch = monitor()
    watch.update(*predictions(np.zeros(HISTORY)))
    began = time.process_time()
    watch.update(*predictions(np.zeros(1)))
    cost = 1e6 * (time.process_time() - began)
    with open(sys.argv[2], "w") as out:
        json.dump({f"MAPIE, after {HISTORY:,} labels": {"alarms": alarms, "microseconds": cost}}, out)


main()
