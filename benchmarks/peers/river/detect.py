"""River's change detectors on streams of `monitors.py`: `python detect.py IN.npz OUT.json`."""

import json
import sys
import time

import numpy as np
from river import drift

DETECTORS = {
    "River ADWIN": drift.ADWIN,
    "River PageHinkley, up": lambda: drift.PageHinkley(mode="up", delta=0.005, threshold=20.0),
    "River DDM": drift.binary.DDM,
}


def first_alarm(detector, wrong):
    """Labels until the detector signals a change, or None."""
    for count, one in enumerate(wrong.tolist(), 1):
        detector.update(one)
        if detector.drift_detected:
            return count
    return None


def main():
    streams = np.load(sys.argv[1])
    found = {}
    for name, make in DETECTORS.items():
        began, labels, alarms = time.process_time(), 0, {}
        for task in streams.files:
            alarms[task] = [first_alarm(make(), wrong) for wrong in streams[task]]
            labels += sum(one or streams[task].shape[1] for one in alarms[task])
        found[name] = {"alarms": alarms, "microseconds": 1e6 * (time.process_time() - began) / labels}
    with open(sys.argv[2], "w") as out:
        json.dump(found, out)


main()
