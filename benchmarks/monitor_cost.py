"""CPU time of the monitors of a promise per audit label, while a million labels come in.

    python benchmarks/monitor_cost.py [--labels 1000000] [--record [FOLDER]]

A hundred labelled audits a minute, one answer in two hundred wrong; every fiftieth label comes two hours
after its answer, so that what lies behind it is computed again. After every hundred labels the monitor of the
bundle enters them and is read, and after every ten thousand its oldest items are folded into its base, as in
the service. The cost of each tenth of the stream shows whether it grows. Needs no model and no store.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator

from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option

from monitoring.promise.items import NO_PART, AuditItem, ItemChanges
from monitoring.promise.monitor import BundleMonitor
from monitoring.promise.terms import PromiseTerms, WatchOptions

BEGIN, MINUTE, LATE, AT_A_TIME = 1_790_000_000.0, 60.0, 7200.0, 100
TARGET_US, TENTHS = 50.0, 10
TERMS = PromiseTerms("cost:0123456789abcdef", "promised", 0.01, coverage=0.7)


def batches(labels: int, rng: random.Random) -> Iterator[tuple[float, ItemChanges]]:
    """(time, items that are new or have got their label), `AT_A_TIME` labels in each."""
    late: list[AuditItem] = []
    for number in range(labels // AT_A_TIME):
        at = BEGIN + number * MINUTE
        items = [item for item in late if item.at + LATE <= at]
        late = late[len(items) :]
        for index in range(AT_A_TIME):
            made = at + index * MINUTE / AT_A_TIME
            item = AuditItem(f"r{number}-{index}", None, made, 0.05, rng.random() < 0.005, made + 1, NO_PART)
            if index % 50:
                items.append(item)
            else:
                late.append(item)
                items.append(AuditItem(item.request_id, None, made, 0.05, None, None, NO_PART))
        second = int(at)
        yield (
            at + MINUTE,
            ItemChanges(
                sequence=number,
                audits=items,
                removed=(),
                unaudited={second: {NO_PART: 20 * AT_A_TIME}},
                decided={second: (25 * AT_A_TIME, 21 * AT_A_TIME)},
                complete=False,
                since=0.0,
                with_units=False,
            ),
        )


def measure(labels: int) -> list[float]:
    """Microseconds of CPU per label in each tenth of the stream."""
    monitor = BundleMonitor(TERMS, WatchOptions(share=0.05), begin=int(BEGIN))
    costs, spent, seen = [], 0.0, 0
    for now, changes in batches(labels, random.Random(0)):
        began = time.process_time()
        monitor.apply(changes)
        monitor.read(now)
        seen += AT_A_TIME
        if seen % 10_000 == 0:
            monitor.settle(now)
        spent += time.process_time() - began
        if seen % (labels // TENTHS) == 0:
            costs.append(1e6 * spent / (labels // TENTHS))
            spent = 0.0
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=int, default=1_000_000)
    add_record_option(parser)
    given = parser.parse_args()
    recording = Recording.begin(given.record)
    labels = max(given.labels, 10 * TENTHS * AT_A_TIME) // (TENTHS * AT_A_TIME) * TENTHS * AT_A_TIME
    costs = measure(labels)
    rows = [
        [f"{labels * tenth // TENTHS:,} to {labels * (tenth + 1) // TENTHS:,}", f"{cost:.1f}"]
        for tenth, cost in enumerate(costs)
    ]
    table = markdown(["labels", "CPU per label, us"], rows)
    print(table)
    recording.save(
        "monitor-cost",
        "promise",
        "What a label costs the monitors",
        about=f"{labels:,} labelled audits through the monitor of one bundle, read after every hundred.",
        claims=[
            Claim(
                "CPU of the monitors per audit label",
                f"{max(costs):.1f} us in the dearest tenth, {costs[-1]:.1f} in the last",
                f"at most {TARGET_US:g} us, and flat",
                max(costs) <= TARGET_US and costs[-1] <= 1.5 * min(costs),
            )
        ],
        detail=table,
        raw=table,
    )


if __name__ == "__main__":
    main()
