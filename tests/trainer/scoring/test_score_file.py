from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from calibration.errors import DeltaExhausted
from calibration.exact.fixed_sequence import certify
from trainer.certify.from_scores import certify_each, certify_scores
from trainer.certify.user_ledger import read_accounts
from trainer.run.promise import PromiseConfig
from trainer.scoring.score_file import USUAL_SERIES, ScoredTable, ScoreFileColumns, read_scored
from trainer.scoring.table_file import ScoreFileError

COLUMNS = ScoreFileColumns()


def _table(n: int = 2000, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    z = (2 * labels - 1) * 1.9 + rng.normal(size=n)
    return {"label": labels, "probability": 1 / (1 + np.exp(-3.8 * z))}


def _write(path: Path, columns: dict[str, np.ndarray]) -> Path:
    table = pa.table(columns)
    if path.suffix == ".csv":
        pa_csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
def test_a_table_gets_the_certificate_of_its_scores(tmp_path: Path, name: str) -> None:
    columns = _table()
    found = certify_scores(_write(tmp_path / name, columns), PromiseConfig(), COLUMNS)
    confidence = np.abs(columns["probability"] - 0.5)
    errors = (columns["probability"] > 0.5) != columns["label"]
    expected = certify(confidence, errors, None, PromiseConfig().target)
    assert found.result.feasible
    assert found.result.threshold == expected.threshold
    assert (found.result.answered, found.result.errors) == (expected.answered, expected.errors)
    assert found.ledger == tmp_path / f"{name}.ledger.json"


@pytest.mark.parametrize("series", USUAL_SERIES)
def test_several_columns_are_one_a_class(series: str, tmp_path: Path) -> None:
    columns = _table()
    p = columns.pop("probability")
    columns |= {f"{series}0": np.log(1 - p), f"{series}1": np.log(p)}
    several = certify_scores(_write(tmp_path / "k.parquet", columns), PromiseConfig(), COLUMNS)
    named = certify_scores(
        _write(tmp_path / "n.parquet", {"y": columns["label"], "no": 1 - p, "yes": p}),
        PromiseConfig(),
        ScoreFileColumns(label="y", scores=("no", "yes")),
    )
    # Log odds and the difference of probabilities rank alike.
    assert several.result.answered == named.result.answered


def test_another_promise_on_the_same_file_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "s.csv", _table())
    first = certify_scores(path, PromiseConfig(), COLUMNS)
    assert certify_scores(path, PromiseConfig(), COLUMNS).result == first.result
    with pytest.raises(DeltaExhausted):
        certify_scores(path, PromiseConfig(alpha=0.02), COLUMNS)


@pytest.mark.parametrize("group", [None, "track"])
def test_other_rows_order_or_columns_give_no_fresh_delta(tmp_path: Path, group: str | None) -> None:
    """And of each group the same frame is drawn."""
    columns = _table() | {"track": np.repeat(np.arange(1000), 2)}
    path, named = tmp_path / "s.csv", ScoreFileColumns(group=group)
    first = certify_scores(_write(path, columns), PromiseConfig(), named)
    order = np.random.default_rng(3).permutation(2000)
    other = {name: column[order] for name, column in columns.items()} | {"note": np.arange(2000)}
    _write(path, other)
    assert certify_scores(path, PromiseConfig(), named).result == first.result
    with pytest.raises(DeltaExhausted):
        certify_scores(path, PromiseConfig(alpha=0.02), named)


def test_another_confidence_in_the_same_file_gives_no_fresh_delta(tmp_path: Path) -> None:
    columns = _table() | {"sure": np.random.default_rng(4).random(2000)}
    path = _write(tmp_path / "s.parquet", columns)
    certify_scores(path, PromiseConfig(), COLUMNS)
    with pytest.raises(DeltaExhausted):
        certify_scores(path, PromiseConfig(), ScoreFileColumns(confidence="sure"))


def test_slices_that_were_named_anew_are_another_proof(tmp_path: Path) -> None:
    columns = _table() | {"place": np.repeat(["a", "b"], 1000)}
    path = _write(tmp_path / "s.parquet", columns)
    certify_each(path, PromiseConfig(), COLUMNS, "place")
    _write(path, columns | {"place": np.tile(["a", "b"], 1000)})
    with pytest.raises(DeltaExhausted):
        certify_each(path, PromiseConfig(), COLUMNS, "place")


def test_a_column_that_looks_like_a_group_cannot_be_overlooked(tmp_path: Path) -> None:
    columns = _table()
    columns["track"] = np.repeat(np.arange(500), 4)
    path = _write(tmp_path / "s.parquet", columns)
    warned = certify_scores(path, PromiseConfig(), COLUMNS)
    assert "track: 500 values, 4 images each" in warned.warnings[0]
    assert "one track (500 values, 4 images each)" in warned.result.sentence()
    used = certify_scores(
        _write(tmp_path / "g.parquet", columns), PromiseConfig(), ScoreFileColumns(group="track")
    )
    assert used.warnings == ()
    assert used.result.n == 500
    assert used.result.population == "random group, random frame"


def test_any_column_of_a_table_that_repeats_is_a_question_and_none_answers_it(tmp_path: Path) -> None:
    columns = _table() | {"owner": [f"o{row // 5}" for row in range(2000)], "light": ["day", "night"] * 1000}
    columns["path"] = [f"drive{row // 10}/{row}.jpg" for row in range(2000)]
    path = _write(tmp_path / "s.parquet", columns)
    asked = certify_scores(path, PromiseConfig(), COLUMNS)
    assert [warning.partition(":")[0] for warning in asked.warnings] == ["owner", "folder"]
    assert asked.result.doubt is not None
    answered = certify_scores(path, PromiseConfig(), ScoreFileColumns(group="none"))
    assert answered.warnings == ()
    assert answered.result == replace(asked.result, doubt=None), "the same computation, so no second charge"
    groups = read_scored(path, ScoreFileColumns(group="folder")).groups
    assert groups is not None
    assert len(set(groups.tolist())) == 200, "by the names of the images"


def test_own_confidence_ranks(tmp_path: Path) -> None:
    columns = _table() | {"mine": np.arange(2000.0)}
    found = certify_scores(
        _write(tmp_path / "s.parquet", columns), PromiseConfig(alpha=0.1), ScoreFileColumns(confidence="mine")
    )
    assert found.result.threshold is not None
    assert float(found.result.threshold).is_integer()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": None}, r"no column probability, score, prob, and no probability_0"),
        ({"label": None}, r"no column 'label'"),
        ({"probability": np.linspace(0, 7, 2000)}, r"'probability' goes from 0 to 7"),
        ({"label": np.full(2000, 3)}, r"'label' holds 3; labels must be 0\.\.1"),
        ({"probability": np.full(2000, np.nan)}, r"'probability' has 2000 values that are not finite"),
        ({"probability": np.array(["a"] * 2000)}, r"'probability' holds string; it must hold numbers"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(
    tmp_path: Path, change: dict[str, np.ndarray | None], message: str
) -> None:
    columns = {name: value for name, value in (_table() | change).items() if value is not None}
    with pytest.raises(ScoreFileError, match=message):
        certify_scores(_write(tmp_path / "s.parquet", columns), PromiseConfig(), COLUMNS)


def test_other_files_and_methods_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("label,probability\n")
    with pytest.raises(ScoreFileError, match=r"must be \.parquet or \.csv"):
        certify_scores(tmp_path / "s.txt", PromiseConfig(), COLUMNS)
    with pytest.raises(ScoreFileError, match="'look-ahead' only"):
        certify_scores(tmp_path / "s.csv", PromiseConfig(certificate="scrc-t"), COLUMNS)


@pytest.mark.parametrize(
    "names",
    [
        ["1234567890123456781", "1234567890123456782"],
        ["98765432109876543210", "98765432109876543211"],
        ["7", "07"],
        ["1e3", "1000"],
        ["1_11", "11_1"],
        ["2024-01-01", "2024-1-1"],
        ["NA", "null"],
    ],
)
def test_groups_of_a_csv_stay_what_was_written(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "scores.csv"
    rows = [f"{index % 2},0.{index + 1},{name}" for index, name in enumerate(names)]
    path.write_text("label, score, drive\n" + "\n".join(rows))
    groups = read_scored(path, ScoreFileColumns(group="drive")).groups
    assert groups is not None
    assert set(groups.tolist()) == set(names)


def test_rounding_just_outside_of_a_probability_is_rounding(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("label,score\n1,1.0000001\n0,-1e-8\n")
    assert read_scored(path, ScoreFileColumns()).confidence.tolist() == [0.5, 0.5]
    path.write_text("label,score\n1,1.01\n0,0\n")
    with pytest.raises(ScoreFileError, match=r"goes from 0 to 1\.01"):
        read_scored(path, ScoreFileColumns())


def test_a_csv_in_utf_16_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes("label,score\n1,0.9\n".encode("utf-16"))
    with pytest.raises(ScoreFileError, match="is UTF-16 text; save it as UTF-8"):
        read_scored(path, ScoreFileColumns())


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_score_that_is_no_number_is_named_and_costs_nothing(tmp_path: Path, value: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(f"label,score\n1,0.9\n0,{value}\n")
    with pytest.raises(ScoreFileError, match="'score' has 1 values that are not finite, the first in row 2"):
        certify_scores(path, PromiseConfig(), ScoreFileColumns())
    assert not path.with_name("scores.csv.ledger.json").exists()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_groups_keep_their_blanks(tmp_path: Path, suffix: str) -> None:
    columns = {
        "drive": np.array(["a", "a ", " a", "b"]),
        "label": np.arange(4) % 2,
        "probability": np.arange(4) / 4,
    }
    read = read_scored(_write(tmp_path / f"scores.{suffix}", columns), ScoreFileColumns(group="drive"))
    assert read.groups is not None
    assert sorted(read.groups.tolist()) == [" a", "a", "a ", "b"]
    assert any("written with and without blanks" in warning for warning in read.warnings)


def test_blanks_that_pad_a_column_belong_to_no_group(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("drive, label, probability\na, 1, 0.9\nb , 0, 0.2\n")
    read = read_scored(path, ScoreFileColumns(group="drive"))
    assert read.groups is not None
    assert sorted(read.groups.tolist()) == ["a", "b "]
    path.write_text("label, drive, probability\n1, a, 0.9\n0,  , 0.2\n")
    with pytest.raises(ScoreFileError, match="'drive' has 1 empty cells"):
        read_scored(path, ScoreFileColumns(group="drive"))


class TestTheOrderOfReading:
    """Scores and rows, then the charge, then what the labels say of the scores."""

    def test_a_refused_charge_compares_no_answer_with_a_label(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = _write(tmp_path / "scores.csv", _table())
        certify_scores(path, PromiseConfig(), COLUMNS)

        def compared(table: ScoredTable) -> None:
            raise AssertionError("labels were compared with answers before the charge")

        monkeypatch.setattr(ScoredTable, "errors", property(compared))
        with pytest.raises(DeltaExhausted):
            certify_scores(path, PromiseConfig(alpha=0.02), COLUMNS)
        with pytest.raises(DeltaExhausted):
            certify_each(path, PromiseConfig(), COLUMNS, None)

    def test_the_charge_is_there_if_the_proof_is_interrupted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = _write(tmp_path / "scores.csv", _table())

        def interrupted(table: ScoredTable) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(ScoredTable, "errors", property(interrupted))
            with pytest.raises(KeyboardInterrupt):
                certify_scores(path, PromiseConfig(), COLUMNS)
        with pytest.raises(DeltaExhausted):
            certify_scores(path, PromiseConfig(alpha=0.02), COLUMNS)

    @pytest.mark.parametrize("label", ["2", "yes", "", "nan", "0.5"])
    def test_a_label_that_is_no_class_burns_no_delta(self, tmp_path: Path, label: str) -> None:
        columns = _table()
        rows = [f"{y},{p!r}" for y, p in zip(columns["label"], columns["probability"].tolist(), strict=True)]
        path = tmp_path / "scores.csv"
        path.write_text("label,probability\n" + "\n".join([*rows[:-1], f"{label},0.5"]))
        with pytest.raises(ScoreFileError, match="'label'"):
            certify_scores(path, PromiseConfig(), COLUMNS)
        assert not read_accounts().splits
        assert not path.with_name("scores.csv.ledger.json").exists()
