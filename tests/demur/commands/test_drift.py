"""`demur drift report`: the windows of a service, in words, as JSON and as pictures."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.command_line import Demur
from fakes.referenced_bundle import usual_image, write_referenced_bundle
from fakes.tiny_bundle import colour_image
from PIL import Image

from bundle.loader import LoadedBundle, load_bundle
from bundle.signals import observe
from demur.commands.drift import DriftReport, draw_report, read_drift, report_lines
from monitoring.drift.sample_folder import SampledRow, SampleFolder, drift_folder
from monitoring.drift.watch import DriftPolicy, DriftWatch


@pytest.fixture(scope="module")
def referenced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_referenced_bundle(tmp_path_factory.mktemp("referenced") / "bundle", embedding=True)


@pytest.fixture(scope="module")
def data_dir(referenced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a service that has closed a quiet window and one in which all images are blue."""
    folder, loaded = tmp_path_factory.mktemp("data"), load_bundle(referenced)
    assert loaded.reference is not None
    samples = SampleFolder(drift_folder(folder, f"{loaded.manifest.name}:{loaded.manifest.version}"))
    watch = DriftWatch(samples, loaded.reference, DriftPolicy())
    begun = time.time() - 7200
    for hour, images in enumerate(
        ([usual_image(n + 1000) for n in range(260)], [colour_image(0, 0.9, n) for n in range(260)])
    ):
        at = begun + 3600 * hour
        samples.append(_rows(loaded, images, at))
        assert watch.look(at) is not None
    return folder


def _rows(loaded: LoadedBundle, images: list[bytes], at: float) -> list[SampledRow]:
    return [
        SampledRow(f"{place * 2**53:016x}", 0.5, at, observe(loaded.runner, image), True)
        for place, image in enumerate(images)
    ]


@pytest.fixture
def report(referenced: Path, data_dir: Path) -> DriftReport:
    return read_drift(referenced, data_dir)


def test_it_says_what_moved_and_by_how_much(report: DriftReport) -> None:
    said = "\n".join(report_lines(report))
    assert "drift between 160 images of val_select and the last 260 images" in said
    assert "Windows closed: 2, with an alarm: 1." in said
    assert "If the probabilities still mean what they did" in said
    (row,) = (line for line in said.splitlines() if line.startswith("share of label"))
    assert row.split()[:7] == ["share", "of", "label", "1", "50.0", "%", "0.0"]
    assert row.endswith("yes")
    assert "all together (MMD)" in said


def test_a_picture_of_each_signal(report: DriftReport, tmp_path: Path) -> None:
    drawn = draw_report(report, tmp_path / "out")
    assert {path.stem for path in drawn} == {"embedding", *(shift.name for shift in report.latest.shifts)}
    assert {"brightness", "margin_b", "answered"} < {path.stem for path in drawn}
    for path in drawn:
        with Image.open(path) as picture:
            assert len(picture.convert("RGB").resize((96, 38)).getcolors(10_000) or []) > 20


def test_without_an_embedding_there_is_no_picture_of_it(report: DriftReport, tmp_path: Path) -> None:
    bare = replace(report, reference=replace(report.reference, embedding=None))
    assert "embedding" not in {path.stem for path in draw_report(bare, tmp_path)}


def test_the_verb(demur: Demur, referenced: Path, data_dir: Path, tmp_path: Path) -> None:
    arguments = ("drift", "report", "--bundle", referenced, "--data-dir", data_dir, "--out", tmp_path / "out")
    ended = demur(*arguments)
    assert ended.code == 0, ended.err
    assert f"in {tmp_path / 'out'}" in ended.out
    value = json.loads(demur(*arguments, "--json").out)
    assert value["latest"]["alarm"]
    assert [window["alarm"] for window in value["windows"]] == [False, True]
    assert all(Path(path).is_file() for path in value["pictures"])


def test_the_data_folder_of_the_environment(
    demur: Demur, referenced: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMUR_DATA_DIR", str(data_dir))
    assert demur("drift", "report", "--bundle", referenced, "--out", tmp_path).code == 0


def test_without_a_reference_or_a_window_it_says_so(
    demur: Demur, referenced: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    none = demur("drift", "report", "--bundle", tiny_bundle, "--data-dir", tmp_path)
    assert (none.code, "has no reference: drift is off" in none.err) == (2, True)
    early = demur("drift", "report", "--bundle", referenced, "--data-dir", tmp_path)
    assert (early.code, "0 images are there" in early.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_damaged_windows_are_left_out(referenced: Path, data_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir / "drift", tmp_path / "drift")
    first, _ = sorted((tmp_path / "drift").glob("*/windows/*"))
    first.write_bytes(b"damaged")
    assert len(read_drift(referenced, tmp_path).windows) == 1
