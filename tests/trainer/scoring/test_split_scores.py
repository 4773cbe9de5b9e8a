from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.scores import StageOutputs
from trainer.errors import RunError
from trainer.run.digests import DamagedFile
from trainer.scoring import split_scores
from trainer.scoring.split_scores import SplitScores, as_certified, load_scores, save_scores


def _scores(n: int = 7) -> SplitScores:
    rng = np.random.default_rng(0)
    return SplitScores(
        split="val_calib",
        digest="d" * 64,
        engine="onnxruntime-cpu/fp32",
        labels=rng.integers(0, 3, n),
        stages=(
            StageOutputs(rng.normal(size=(n, 3))),
            StageOutputs(rng.normal(size=(n, 3)), rng.normal(size=n)),
        ),
        groups=np.array([f"g{i // 2}" for i in range(n)]),
        paths=tuple(f"{i}.jpg" for i in range(n)),
        slices={"weather": np.array(["rain", "fog"] * n)[:n]},
    )


def _assert_same(one: SplitScores, other: SplitScores) -> None:
    assert (one.split, one.digest, one.engine, one.paths) == (
        other.split,
        other.digest,
        other.engine,
        other.paths,
    )
    np.testing.assert_array_equal(one.labels, other.labels)
    for mine, theirs in zip(one.stages, other.stages, strict=True):
        np.testing.assert_array_equal(mine.logits, theirs.logits)
        assert (mine.gate is None) == (theirs.gate is None)
        if mine.gate is not None and theirs.gate is not None:
            np.testing.assert_array_equal(mine.gate, theirs.gate)
    assert (one.groups is None) == (other.groups is None)
    if one.groups is not None and other.groups is not None:
        np.testing.assert_array_equal(one.groups, other.groups)
    assert one.slices.keys() == other.slices.keys()
    for name, values in one.slices.items():
        np.testing.assert_array_equal(values, other.slices[name])


@pytest.mark.parametrize("n", [7, 1, 0])
def test_scores_come_back_bit_for_bit(tmp_path: Path, n: int) -> None:
    scores = _scores(n)
    save_scores(scores, tmp_path / "s.parquet")
    _assert_same(load_scores(tmp_path / "s.parquet"), scores)


def test_taking_rows_keeps_every_column_aligned() -> None:
    scores = _scores()
    rows = np.array([4, 0])
    taken = scores.take(rows)
    assert taken.paths == ("4.jpg", "0.jpg")
    np.testing.assert_array_equal(taken.stages[1].logits, scores.stages[1].logits[rows])
    np.testing.assert_array_equal(taken.slices["weather"], scores.slices["weather"][rows])
    mask = np.zeros(len(scores), dtype=np.bool_)
    mask[[0, 4]] = True
    assert scores.take(mask).paths == ("0.jpg", "4.jpg")


def test_units_are_groups_where_there_are_groups() -> None:
    assert _scores(7).n_groups == 4


def test_another_parquet_file_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"label": [0]}), tmp_path / "other.parquet")
    with pytest.raises(RunError, match=r"other\.parquet is not a table of scores"):
        load_scores(tmp_path / "other.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(DamagedFile, match=r"broken\.parquet is damaged"):
        load_scores(tmp_path / "broken.parquet")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    save_scores(_scores(), tmp_path / "val_calib.parquet")
    return tmp_path / "val_calib.parquet"


def test_no_single_bit_changes_what_is_read(written: Path) -> None:
    """A bit that the reader never looks at may be turned; every other one is refused by name."""
    whole, refused = written.read_bytes(), 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        written.write_bytes(damaged)
        with suppress(RunError):
            _assert_same(load_scores(written), _scores())
            continue
        refused += 1
    assert refused > 0.3 * len(whole)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_cut_or_random_table_is_refused_with_the_way_out(written: Path, share: float) -> None:
    whole = written.read_bytes()
    for damaged in (whole[: int(share * len(whole))], np.random.default_rng(1).bytes(len(whole))):
        written.write_bytes(damaged)
        with pytest.raises(DamagedFile, match=r"val_calib\.parquet is damaged .*run `demur train`"):
            load_scores(written)


def test_a_table_of_an_earlier_version_has_no_digest_and_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_scores, "CONTENT", "another note")
    save_scores(_scores(), tmp_path / "old.parquet")
    monkeypatch.undo()
    _assert_same(load_scores(tmp_path / "old.parquet"), _scores())


class TestAsCertified:
    """A certificate is the same computation on another processor, which rounds in its own way."""

    def moved(self, by: float, **changes: object) -> SplitScores:
        scores = _scores()
        stages = tuple(
            StageOutputs(stage.logits + by, None if stage.gate is None else stage.gate + by)
            for stage in scores.stages
        )
        return replace(scores, stages=stages, content=tuple("abcdefg"), **changes)  # type: ignore[arg-type]

    def test_the_last_digits_stay_as_they_were_certified(self, tmp_path: Path) -> None:
        save_scores(_scores(), tmp_path / "scores.parquet")
        kept = as_certified(self.moved(1e-7), tmp_path / "scores.parquet")
        _assert_same(kept, _scores())
        # What an older version did not keep is added.
        assert kept.content == tuple("abcdefg")

    @pytest.mark.parametrize(
        "other",
        [{"by": 1e-3}, {"by": 1e-7, "digest": "e" * 64}, {"by": 1e-7, "engine": "openvino/fp32"}],
        ids=["other outputs", "another split", "another engine"],
    )
    def test_other_scores_replace_them(self, tmp_path: Path, other: dict[str, Any]) -> None:
        save_scores(_scores(), tmp_path / "scores.parquet")
        fresh = self.moved(**other)
        assert as_certified(fresh, tmp_path / "scores.parquet") is fresh

    def test_a_damaged_or_missing_file_is_replaced(self, tmp_path: Path) -> None:
        fresh = self.moved(1e-7)
        assert as_certified(fresh, tmp_path / "scores.parquet") is fresh
        (tmp_path / "scores.parquet").write_bytes(b"PAR1")
        assert as_certified(fresh, tmp_path / "scores.parquet") is fresh
