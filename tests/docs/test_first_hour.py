"""Blocks of README and of the tutorials, run from top to bottom as they stand: one folder, one ledger."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.tutorial_reader import Reader, blocks_of

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = ("photographs", "model", "scores", "labels", "python")
DOCUMENTS = (ROOT / "README.md", *(ROOT / "docs" / "tutorials" / f"{name}.md" for name in TUTORIALS))
NOT_HERE = ("Two commands",)
"""Sections whose blocks other tests stand for: `make test` is what runs this one"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Everything pasted, README first; the ledger is that of the module."""
    if shutil.which("curl") is None:
        pytest.skip("the blocks use curl, which is not installed")
    reader = Reader(tmp_path_factory.mktemp("first-hour"))
    try:
        for document in DOCUMENTS:
            for block in blocks_of(document):
                if block.section not in NOT_HERE:
                    reader.paste(block)
        yield reader
    finally:
        reader.stop()


pytestmark = [pytest.mark.timeout(1800), pytest.mark.xdist_group("first hour")]


def test_the_photographs_become_a_bundle_with_a_promise(reader: Reader) -> None:
    assert (reader.folder / "photos.png").stat().st_size > 10_000
    manifest = json.loads((reader.folder / "runs/first/bundle/bundle.json").read_text())
    assert manifest["classes"] == ["no roadwork", "roadwork"]
    assert "smallest risk that they could prove" in reader.printed(
        "demur train --data photos --group none --dry"
    )
    # What two minutes bring depends on the machine: the promise, or that there is none.
    printed = " ".join(reader.printed("demur inspect runs/first/bundle").split())
    assert "are answered wrongly" in printed or "wrong answers" in printed


def test_the_model_is_wrapped_without_training(reader: Reader) -> None:
    assert not (reader.folder / "runs/wrapped/model_best.safetensors").exists()
    assert "stage" in reader.printed("demur inspect runs/wrapped/bundle")
    assert "golden" in reader.printed("demur verify runs/wrapped/bundle")


def test_two_certificates_share_the_delta_of_one_table_and_a_third_is_refused(reader: Reader) -> None:
    first, second = (output for line, output in reader.output.items() if line.startswith("demur calibrate"))
    assert "Certificate 1 of this calibration split" in first
    assert "for each answer by itself" in second
    assert "all 2 share delta 0.05" in second
    third = reader.attempt(
        "demur calibrate --scores scores.csv --label-column truth --group none --alpha 0.02"
    )
    assert third.returncode == 2
    assert "delta" in third.stderr


def test_the_label_arrives_under_the_name_that_the_request_was_given(reader: Reader) -> None:
    asked = json.loads(reader.printed("curl -s -H 'X-Request-Id: first'"))
    assert asked["request_id"] == "first"
    labelled = json.loads(reader.printed("curl -s -H 'Content-Type: application/json'"))
    assert labelled["request_id"] == "first"


def test_python_gets_the_same(reader: Reader) -> None:
    asked = reader.printed_by("client.predict(")
    assert "Guarantee(kind='pac'" in asked or "None" in asked
    assert len(reader.printed_by("predict_batch").splitlines()) == 9
    assert "2000 independent calibration units" in reader.printed_by("luck")
    assert "900 independent calibration units" in reader.printed_by("Sampling(groups=drive)")


def test_what_a_path_needs_comes_from_a_line_before_it() -> None:
    """Photographs, models, tables: each is made by a block, so that a path can be tried without any data."""
    text = "".join(block.text for block in blocks_of(DOCUMENTS[0]) if block.section not in NOT_HERE)
    for made, used in {
        "--write-folder photos": "--data photos",
        "--write-folder labelled": "--data labelled",
        " strong.onnx ": "--model strong.onnx",
        "--out scores.csv": "--scores scores.csv",
        " photo.jpg ": "@photo.jpg",
    }.items():
        assert 0 <= text.find(made) < text.find(used), made
