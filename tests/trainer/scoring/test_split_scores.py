from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.scores import StageOutputs
from trainer.errors import RunError
from trainer.scoring.split_scores import SplitScores, load_scores, save_scores


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
    with pytest.raises(RunError, match=r"broken\.parquet cannot be read"):
        load_scores(tmp_path / "broken.parquet")
