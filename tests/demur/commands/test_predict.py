"""`demur predict`: the decisions of the runner, one row per image."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes.tiny_bundle import colour_image, colour_images, tiny_draft
from onnx import helper, numpy_helper
from PIL import Image
from rich.console import Console

from bundle.loader import load_bundle
from bundle.manifest import BundleTampered
from bundle.selection.choice import EnginePreference
from bundle.verify import read_manifest
from bundle.writer import write_bundle
from demur.commands import predict, table_file
from demur.commands.predict import predict_source
from demur.commands.table_file import UnknownTableFormat
from trainer.data.config import DataConfig
from trainer.data.images import ImageSource
from trainer.data.source import open_source
from trainer.run.console import RunConsole
from trainer.run.disk import DiskError

COLUMNS = [
    *("path", "decision", "label", "label_name", "prediction_set", "probability", "confidence", "stage"),
    *("reason", "error", "truth", "bundle", "bundle_version"),
]


@pytest.fixture
def console() -> RunConsole:
    return RunConsole(Console(width=200, record=True, quiet=False, file=None, force_terminal=False))


def folder_of(tmp_path: Path, images: dict[str, bytes]) -> ImageSource:
    for name, data in images.items():
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return open_source(DataConfig(source=f"folder:{tmp_path / 'images'}"))


@pytest.fixture
def source(tmp_path: Path) -> ImageSource:
    """Twelve images in class folders, in the order of their names."""
    candidates = colour_images(per_kind=2)
    return folder_of(
        tmp_path,
        {
            f"{('blue', 'red')[image.label or 0]}/{number:03d}.jpg": image.data
            for number, image in enumerate(candidates)
        },
    )


def read_rows(out: Path) -> list[dict[str, object]]:
    return list(pq.read_table(out).to_pylist())


def test_every_image_has_a_row_with_the_decision_of_the_runner(
    tiny_bundle: Path, source: ImageSource, tmp_path: Path, console: RunConsole
) -> None:
    out = tmp_path / "out" / "decisions.parquet"
    summary = predict_source(tiny_bundle, source, out, console=console)
    rows = read_rows(out)
    assert [row["path"] for row in rows] == list(source.paths)
    decided = load_bundle(tiny_bundle).runner.decide([source.read(row) for row in range(len(source))])
    for row, decision in zip(rows, decided, strict=True):
        assert row["decision"] == decision.decision
        assert row["label"] == decision.label
        assert row["label_name"] == (None if decision.label is None else ("blue", "red")[decision.label])
        assert (row["bundle"], row["bundle_version"]) == ("tiny", read_manifest(tiny_bundle).version)
        assert row["prediction_set"] == list(decision.prediction_set)
        assert row["probability"] == decision.probabilities[1]
        assert row["confidence"] == decision.confidence
        assert (row["stage"], row["reason"]) == (decision.stage, decision.reason)
    assert summary.answered_by_stage == {"A": 4, "B": 4}
    assert summary.sentence() == (
        "12 images: 8 answered (4 by stage A, 4 by stage B), 4 abstained, 0 unreadable."
    )


def test_the_columns(tiny_bundle: Path, source: ImageSource, tmp_path: Path, console: RunConsole) -> None:
    out = tmp_path / "decisions.parquet"
    predict_source(tiny_bundle, source, out, console=console)
    schema = pq.read_schema(out)
    assert schema.names == COLUMNS
    assert schema.field("label").type == pa.int64()
    assert schema.field("prediction_set").type == pa.list_(pa.int64())


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("blue", "red"), [0, 1]),  # the bundle's own names
        (("cold", "warm"), [0, 1]),  # other names: by their place
        ((), [None, None]),
    ],
)
def test_the_truth_is_the_label_of_the_data(
    tiny_bundle: Path, tmp_path: Path, console: RunConsole, folders: tuple[str, ...], expected: list[int]
) -> None:
    places = [f"{name}/" for name in folders] or ["", ""]
    images = {f"{place}{n}.jpg": colour_image(1 - n, 0.9) for n, place in enumerate(places)}
    out = tmp_path / "decisions.parquet"
    predict_source(tiny_bundle, folder_of(tmp_path, images), out, console=console)
    assert [row["truth"] for row in read_rows(out)] == expected
    assert [row["label"] for row in read_rows(out)] == [1, 0]


def test_the_truth_goes_by_the_names_of_the_classes(tiny_bundle: Path, tmp_path: Path) -> None:
    folder_of(tmp_path, {"blue/1.jpg": colour_image(0, 0.9), "red/2.jpg": colour_image(1, 0.9)})
    turned = DataConfig(source=f"folder:{tmp_path / 'images'}", class_names=("red", "blue"))
    predict_source(tiny_bundle, open_source(turned), tmp_path / "out.parquet", console=RunConsole())
    assert [row["truth"] for row in read_rows(tmp_path / "out.parquet")] == [0, 1]


def test_more_than_two_classes_have_a_list_of_probabilities(
    make_tiny_bundle: Callable[..., Path], tmp_path: Path, console: RunConsole
) -> None:
    images = {f"{number}.jpg": image.data for number, image in enumerate(colour_images(1, classes=3))}
    out = tmp_path / "decisions.parquet"
    predict_source(make_tiny_bundle(classes=3), folder_of(tmp_path, images), out, console=console)
    for row in read_rows(out):
        probabilities = row["probabilities"]
        assert isinstance(probabilities, list)
        assert sum(probabilities) == pytest.approx(1.0)
        assert probabilities[1] == row["probability"]


def test_the_row_of_an_unreadable_image_says_why(
    tiny_bundle: Path, tmp_path: Path, console: RunConsole
) -> None:
    images = {
        "a.jpg": colour_image(1, 0.9),
        "b.jpg": colour_image(1, 0.9)[:300],
        "c.jpg": colour_image(0, 0.9),
    }
    out = tmp_path / "decisions.parquet"
    source = folder_of(tmp_path, images)
    summary = predict_source(tiny_bundle, source, out, console=console)
    first, damaged, last = read_rows(out)
    assert (first["label"], last["label"]) == (1, 0)
    assert (damaged["decision"], damaged["reason"], damaged["label"]) == ("abstain", "unreadable", None)
    assert "the JPEG ends" in str(damaged["error"])
    assert damaged["probability"] is None
    assert summary.unreadable == 1
    assert damaged["bundle_version"] == last["bundle_version"] == read_manifest(tiny_bundle).version


def test_an_image_whose_outputs_are_no_numbers_is_abstained_on(tmp_path: Path, console: RunConsole) -> None:
    draft = tiny_draft(classes=3)
    stages = tuple(
        replace(stage, models={name: nan_for_black(model) for name, model in stage.models.items()})
        for stage in draft.stages
    )
    write_bundle(replace(draft, stages=stages), tmp_path / "bundle")
    black = io.BytesIO()
    Image.new("RGB", (32, 32)).save(black, "PNG")
    source = folder_of(tmp_path, {"a.jpg": colour_image(1, 0.9), "b.png": black.getvalue()})
    for suffix in (".parquet", ".csv", ".jsonl"):
        summary = predict_source(tmp_path / "bundle", source, tmp_path / f"d{suffix}", console=console)
        assert (summary.answered, summary.unreadable) == (1, 0)
    good, bad = read_rows(tmp_path / "d.parquet")
    assert (good["label"], good["error"]) == (1, None)
    assert (bad["decision"], bad["label"], bad["probability"], bad["confidence"]) == (
        *("abstain", None),
        *(None, None),
    )
    assert bad["probabilities"] == [None, None, None]
    assert "not finite numbers" in str(bad["error"])
    assert "NaN" not in (tmp_path / "d.jsonl").read_text()
    assert "nan" not in (tmp_path / "d.csv").read_text()


def nan_for_black(model: bytes) -> bytes:
    """The model of a tiny bundle, with logits that are no numbers for a black image."""
    proto = onnx.load_from_string(model)
    graph = proto.graph
    for node in graph.node:
        node.output[:] = ["plain" if name == "logits" else name for name in node.output]
        node.input[:] = ["plain" if name == "logits" else name for name in node.input]
    graph.initializer.append(numpy_helper.from_array(np.array([2.9], np.float32), "shift"))
    graph.initializer.append(numpy_helper.from_array(np.array([0.0], np.float32), "zero"))
    graph.node.extend(
        [
            # Pixels are in -1..1, so the sum of the three channels of a black image is -3.
            helper.make_node("ReduceL1", ["colour"], ["size"], axes=[1], keepdims=1),
            helper.make_node("Sub", ["shift", "size"], ["margin"]),
            helper.make_node("Sqrt", ["margin"], ["root"]),
            helper.make_node("Mul", ["root", "zero"], ["nothing"]),
            helper.make_node("Add", ["plain", "nothing"], ["logits"]),
        ]
    )
    return proto.SerializeToString()


def test_an_image_that_has_vanished_has_a_row_too(
    tiny_bundle: Path, source: ImageSource, tmp_path: Path, console: RunConsole
) -> None:
    next((tmp_path / "images").rglob("005.jpg")).unlink()
    out = tmp_path / "decisions.parquet"
    assert predict_source(tiny_bundle, source, out, console=console).unreadable == 1
    assert [row["reason"] for row in read_rows(out)].count("unreadable") == 1


@pytest.mark.parametrize("threads", [1, 4])
def test_order_is_kept_over_many_chunks(
    tiny_bundle: Path, tmp_path: Path, console: RunConsole, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(predict, "CHUNK", 3)
    monkeypatch.setattr(table_file, "ROW_GROUP", 7)
    images = {f"{n:03d}.jpg": colour_image(n % 2, 0.9, seed=n) for n in range(50)}
    out = tmp_path / "decisions.parquet"
    source = folder_of(tmp_path, images)
    predict_source(tiny_bundle, source, out, threads=threads, console=console)
    assert [row["label"] for row in read_rows(out)] == [n % 2 for n in range(50)]
    assert pq.ParquetFile(out).num_row_groups > 1


def test_csv_and_json_lines_hold_the_same(
    tiny_bundle: Path, source: ImageSource, tmp_path: Path, console: RunConsole
) -> None:
    outs = {suffix: tmp_path / f"decisions{suffix}" for suffix in (".parquet", ".csv", ".jsonl")}
    for out in outs.values():
        predict_source(tiny_bundle, source, out, console=console)
    rows = read_rows(outs[".parquet"])
    assert [json.loads(line) for line in outs[".jsonl"].read_text().splitlines()] == rows
    with outs[".csv"].open(newline="") as stream:
        for row, cells in zip(rows, csv.DictReader(stream), strict=True):
            assert cells["path"] == row["path"]
            assert json.loads(cells["prediction_set"]) == row["prediction_set"]
            assert float(cells["probability"]) == row["probability"]
            assert cells["label"] == ("" if row["label"] is None else str(row["label"]))


def test_an_infeasible_bundle_abstains_on_all(
    make_tiny_bundle: Callable[..., Path], source: ImageSource, tmp_path: Path, console: RunConsole
) -> None:
    out = tmp_path / "decisions.parquet"
    predict_source(make_tiny_bundle(feasible=False), source, out, console=console)
    rows = read_rows(out)
    assert {row["decision"] for row in rows} == {"abstain"}
    assert all(isinstance(row["probability"], float) for row in rows)
    assert "149 more" in console.console.export_text()


def test_a_missing_certificate_gives_a_warning(
    make_tiny_bundle: Callable[..., Path], source: ImageSource, tmp_path: Path, console: RunConsole
) -> None:
    folder = make_tiny_bundle(precisions=("fp32", "int8"))
    predict_source(
        folder, source, tmp_path / "d.parquet", wish=EnginePreference(precision="int8"), console=console
    )
    assert "Not certified here" in console.console.export_text()


def test_other_class_names_give_a_warning(tiny_bundle: Path, tmp_path: Path, console: RunConsole) -> None:
    images = {"cat/1.jpg": colour_image(0, 0.9), "dog/1.jpg": colour_image(1, 0.9)}
    predict_source(tiny_bundle, folder_of(tmp_path, images), tmp_path / "d.parquet", console=console)
    assert "['cat', 'dog']" in console.console.export_text()


class TestCompleteOrAbsent:
    def test_an_unknown_suffix(
        self, tiny_bundle: Path, source: ImageSource, tmp_path: Path, console: RunConsole
    ) -> None:
        with pytest.raises(UnknownTableFormat, match=r"\.parquet, \.csv, \.jsonl"):
            predict_source(tiny_bundle, source, tmp_path / "decisions.xlsx", console=console)

    def test_a_folder_in_the_place_of_the_table(self, tiny_bundle: Path, tmp_path: Path) -> None:
        (tmp_path / "decisions.csv").mkdir()
        with pytest.raises(UnknownTableFormat, match="which is a folder"):
            # Before the images are opened: there are none.
            predict.predict(
                tiny_bundle,
                DataConfig(source=f"folder:{tmp_path / 'nothing'}"),
                tmp_path / "decisions.csv",
                EnginePreference(),
            )

    def test_a_file_in_the_place_of_a_folder(
        self, tiny_bundle: Path, source: ImageSource, tmp_path: Path, console: RunConsole
    ) -> None:
        (tmp_path / "out").write_text("a file")
        with pytest.raises(DiskError, match="out cannot be written: a file of that name exists"):
            predict_source(tiny_bundle, source, tmp_path / "out" / "decisions.csv", console=console)

    def test_the_suffix_may_be_in_capitals(
        self, tiny_bundle: Path, source: ImageSource, tmp_path: Path, console: RunConsole
    ) -> None:
        predict_source(tiny_bundle, source, tmp_path / "DECISIONS.CSV", console=console)
        assert (tmp_path / "DECISIONS.CSV").read_text().startswith("path,decision")

    def test_a_failure_leaves_the_older_file(
        self,
        tiny_bundle: Path,
        source: ImageSource,
        tmp_path: Path,
        console: RunConsole,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        out = tmp_path / "decisions.parquet"
        out.write_bytes(b"older")

        def fail(*_: object) -> None:
            raise RuntimeError("stop")

        monkeypatch.setattr(predict, "_decide", fail)
        with pytest.raises(RuntimeError, match="stop"):
            predict_source(tiny_bundle, source, out, console=console)
        assert out.read_bytes() == b"older"
        assert not list(tmp_path.glob(".*"))

    def test_a_tampered_bundle_decides_nothing(
        self, make_tiny_bundle: Callable[..., Path], source: ImageSource, tmp_path: Path, console: RunConsole
    ) -> None:
        folder = make_tiny_bundle()
        (folder / "README.md").write_text("changed")
        with pytest.raises(BundleTampered):
            predict_source(folder, source, tmp_path / "decisions.parquet", console=console)
        assert not (tmp_path / "decisions.parquet").exists()
