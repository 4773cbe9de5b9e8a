"""Files of dead workers: every count stays, none counts twice, and the folder does not grow."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

from monitoring.metrics.instruments import AdminInstruments, Instruments
from monitoring.metrics.worker_files import WorkerFiles, shared_metrics

FIRST = 2**22 + 1
"""No process of Linux has so high a number."""


@pytest.fixture
def files() -> Iterator[WorkerFiles]:
    with shared_metrics() as folder:
        yield folder
        values.close_all_multiprocess_files()  # type: ignore[no-untyped-call]


def count(pid: int, decisions: int = 1) -> None:
    """What a worker of this number leaves behind."""
    before = values.ValueClass
    values.ValueClass = values.MultiProcessValue(lambda: pid)  # type: ignore[no-untyped-call]
    instruments = Instruments()
    instruments.decisions.labels("b:1", "A", "answer").inc(decisions)
    for seconds in (0.002, 0.2):
        instruments.inference_duration.labels("decode").observe(seconds)
    instruments.queue_depth.set(7)
    instruments.redis_up.set(1)
    # The latest one closes the files of this worker alone.
    values._multi_process_cleanups.pop()()
    values.ValueClass = before


def scraped(name: str) -> dict[str, float]:
    """The samples of a metric, by the values of their labels."""
    text = Instruments().render().decode()
    families = text_string_to_metric_families(text)
    return {
        ",".join(sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def decisions() -> float:
    return sum(scraped("demur_decisions_total").values())


def folder() -> Path:
    return Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])


def names(kind: str) -> list[str]:
    return sorted(file.name for file in folder().glob(f"{kind}_*.db"))


def test_the_folder_stays_small_over_two_hundred_deaths_and_no_count_is_lost(files: WorkerFiles) -> None:
    sizes = []
    for number in range(200):
        count(FIRST + number, decisions=number)
        files.forget(FIRST + number)
        sizes.append((len(list(folder().iterdir())), sum(one.stat().st_size for one in folder().iterdir())))
    assert set(sizes) == {sizes[0]}
    assert names("counter") + names("histogram") == ["counter_dead.db", "histogram_dead.db"]
    assert decisions() == sum(range(200))
    buckets = scraped("demur_inference_duration_seconds_bucket")
    assert (buckets["0.001,decode"], buckets["0.0025,decode"], buckets["+Inf,decode"]) == (0, 200, 400)
    assert scraped("demur_inference_duration_seconds_count") == {"decode": 400}
    assert scraped("demur_inference_duration_seconds_sum")["decode"] == pytest.approx(200 * 0.202)
    # Gauges are those of the living: here, of this process alone.
    assert (scraped("demur_queue_depth"), scraped("demur_redis_up")) == ({"": 0}, {})


def test_the_counts_of_the_parent_are_in_every_scrape(files: WorkerFiles) -> None:
    AdminInstruments().refusals.labels("wrong").inc()
    files.forget(FIRST)
    assert scraped("demur_admin_refusals_total") == {"wrong": 1}


def test_a_scrape_during_merges_sees_every_count_once(
    files: WorkerFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A scrape that has waited too long goes without the lock, as on a machine with much other work.
    monkeypatch.setattr("monitoring.metrics.worker_files._SCRAPE_PATIENCE", 600.0)
    for number in range(40):
        count(FIRST + number)
    seen: set[float] = set()
    over = threading.Event()

    def scrape() -> None:
        while True:
            seen.add(decisions())
            if over.is_set():
                return

    scraper = threading.Thread(target=scrape)
    scraper.start()
    for number in range(40):
        files.forget(FIRST + number)
    over.set()
    scraper.join()
    assert seen == {40}
    assert decisions() == 40


HOLDER = """
import fcntl, sys, time
lock = open(sys.argv[1], "ab")
fcntl.flock(lock, fcntl.LOCK_SH)
print("locked", flush=True)
time.sleep(600)
"""


def test_files_wait_for_a_scrape_that_goes_on_and_a_killed_one_lets_them_go(files: WorkerFiles) -> None:
    count(FIRST)
    command = [sys.executable, "-c", HOLDER, str(folder() / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as scraper:
        assert scraper.stdout is not None
        assert scraper.stdout.readline() == "locked\n"
        files.forget(FIRST)
        during_the_scrape = names("counter")
        scraper.send_signal(signal.SIGKILL)
    assert during_the_scrape == [f"counter_{FIRST}.db"]
    count(FIRST + 1)
    files.forget(FIRST + 1)
    assert names("counter") == ["counter_dead.db"]
    assert decisions() == 2


def test_a_full_disk_costs_no_count(files: WorkerFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    count(FIRST)
    files.forget(FIRST)
    count(FIRST + 1)

    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        files.forget(FIRST + 1)
    assert decisions() == 2
    files.forget(FIRST + 2)
    assert names("counter") == ["counter_dead.db"]
    assert decisions() == 2


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\xff", b"\x40\0\0\0" + b"\xff" * 60])
def test_a_file_that_a_killed_worker_has_torn_breaks_no_scrape(files: WorkerFiles, content: bytes) -> None:
    count(FIRST)
    (folder() / f"counter_{FIRST + 1}.db").write_bytes(content)
    files.forget(FIRST + 1)
    files.forget(FIRST)
    assert names("counter") == ["counter_dead.db"]
    assert decisions() == 1


def test_a_worker_that_has_just_begun_breaks_no_scrape(files: WorkerFiles) -> None:
    count(FIRST)
    (folder() / f"counter_{FIRST + 1}.db").touch()
    assert decisions() == 1


def test_a_process_with_the_number_of_a_dead_worker_keeps_its_files(files: WorkerFiles) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        count(running.pid)
        files.forget(running.pid)
        while_it_runs = names("counter")
        running.kill()
    assert while_it_runs == [f"counter_{running.pid}.db"]
    files.forget(FIRST)
    assert names("counter") == ["counter_dead.db"]
    assert decisions() == 1


def test_nothing_is_shared_outside_of_the_context() -> None:
    with shared_metrics():
        assert WorkerFiles.of_this_service() is not None
    assert WorkerFiles.of_this_service() is None
