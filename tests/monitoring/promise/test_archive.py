"""The archive: what is kept survives a lost store, a lost disk and a changed file."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.item_streams import changes, stream

from monitoring.promise.archive import Archive
from monitoring.promise.latch import Alarm, Latch, Reset
from monitoring.promise.monitor import MARGIN, Base, BundleMonitor
from monitoring.promise.terms import PromiseTerms, WatchOptions
from monitoring.store.connection import connect
from monitoring.store.embedded_valkey import EmbeddedValkey

ALARM = Alarm("broken", "", 100.0, 25.0, trusted=True)
NOWHERE = "redis://127.0.0.1:1/0"


def a_base(seed: int = 1) -> Base:
    options = WatchOptions(share=1.0)
    monitor = BundleMonitor(PromiseTerms("tiny:1", "promised", 0.01), options)
    items = stream(300, 0.02, seed, pause=10.0)
    monitor.apply(changes(items, complete=True))
    base = monitor.settle(items[-1].at + options.wait + MARGIN - 500.0 * seed)
    assert base is not None
    return base


def alarmed(latch: Latch) -> Latch:
    return latch.alarmed("tiny:1", ALARM, 0.0)


def test_the_latch_is_kept_on_the_disk_alone(tmp_path: Path) -> None:
    for url in (None, NOWHERE):
        Archive(tmp_path, url, "tiny").change_latch(alarmed)
        assert Archive(tmp_path, url, "tiny").latch().of("tiny:1").suspends


def test_a_store_that_was_emptied_gets_the_latch_back(
    tmp_path: Path, valkey: EmbeddedValkey, model: str
) -> None:
    archive = Archive(tmp_path / "one", valkey.url, model)
    latch = archive.change_latch(alarmed)
    other = Archive(tmp_path / "two", valkey.url, model)
    assert other.latch() == latch
    connect(valkey.url).flushall()
    assert other.latch() == Latch()
    archive.keep_in_step(Latch())
    assert other.keep_in_step(Latch()) == latch
    assert Archive(tmp_path / "two", None, model).latch() == latch


def test_a_change_made_while_the_store_was_away_reaches_it_later(
    tmp_path: Path, valkey: EmbeddedValkey, model: str
) -> None:
    Archive(tmp_path, NOWHERE, model).change_latch(alarmed)
    Archive(tmp_path, valkey.url, model).keep_in_step(Latch())
    assert Archive(tmp_path / "elsewhere", valkey.url, model).latch().of("tiny:1").suspends


def test_a_reset_reaches_every_place(tmp_path: Path, valkey: EmbeddedValkey, model: str) -> None:
    archive, other = (Archive(tmp_path / name, valkey.url, model) for name in ("one", "two"))
    alarm = archive.change_latch(alarmed)
    other.keep_in_step(alarm)
    archive.change_latch(lambda latch: latch.reset("tiny:1", Reset(200.0, "Ada", "mended")))
    assert not other.keep_in_step(alarm).of("tiny:1").suspends


@pytest.mark.parametrize("damage", [lambda text: text[:-5], lambda text: text.replace(b"25.0", b"2.0")])
def test_a_changed_file_is_refused_and_written_again(
    tmp_path: Path, valkey: EmbeddedValkey, model: str, damage: object
) -> None:
    latch = Archive(tmp_path, valkey.url, model).change_latch(alarmed)
    (file,) = (tmp_path / model).glob("latch.json")
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    assert Archive(tmp_path, None, model).latch() == Latch()
    assert Archive(tmp_path, valkey.url, model).keep_in_step(Latch()) == latch
    assert Archive(tmp_path, None, model).latch() == latch


def test_a_store_that_holds_something_else_is_overruled(
    tmp_path: Path, valkey: EmbeddedValkey, model: str
) -> None:
    connect(valkey.url).set(f"demur:{{{model}}}:promise:latch", "rubbish")
    archive = Archive(tmp_path, valkey.url, model)
    assert archive.change_latch(alarmed).of("tiny:1").suspends
    assert Archive(tmp_path / "two", valkey.url, model).latch().of("tiny:1").suspends


def test_the_later_base_is_the_one(tmp_path: Path, valkey: EmbeddedValkey, model: str) -> None:
    later, earlier = a_base(1), a_base(2)
    assert earlier.second < later.second
    archive = Archive(tmp_path / "one", valkey.url, model)
    archive.keep("tiny:1", later, 0.0)
    other = Archive(tmp_path / "two", valkey.url, model)
    other.keep("tiny:1", earlier, 0.0)
    assert other.base("tiny:1", 0.0) == archive.base("tiny:1", 0.0) == later
    assert Archive(tmp_path / "two", None, model).base("tiny:1", 0.0) == earlier


def test_a_tampered_base_is_not_used(tmp_path: Path, valkey: EmbeddedValkey, model: str) -> None:
    archive = Archive(tmp_path, valkey.url, model)
    base = a_base()
    archive.keep("tiny:1", base, 0.0)
    (file,) = (tmp_path / model).glob("tiny*.json")
    file.write_bytes(file.read_bytes().replace(b'"errors": ', b'"errors": 1'))
    assert Archive(tmp_path, None, model).base("tiny:1", 0.0) is None
    assert archive.base("tiny:1", 0.0) == base  # the store has it
    connect(valkey.url).set(f"demur:{{{model}}}:promise:tiny:1", '{"begin": 0.0, "base": {"second": "x"}}')
    assert archive.base("tiny:1", 0.0) is None


def test_a_base_of_an_earlier_beginning_does_not_count(tmp_path: Path) -> None:
    archive = Archive(tmp_path, None, "tiny")
    archive.keep("tiny:1", a_base(), 0.0)
    assert archive.base("tiny:1", 5.0) is None
    assert archive.base("other:1", 0.0) is None


def test_a_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "in", None, "../out")
    archive.keep("../../x:1", a_base(), 0.0)
    assert archive.base("../../x:1", 0.0) is not None
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
