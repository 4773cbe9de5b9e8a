"""Weights in a second file are taken into the model, and only from the folder of the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes.tiny_bundle import colour_model
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from bundle.engines.external_data import read_model
from bundle.engines.model import open_model
from bundle.engines.onnx_scan import ModelRefused, refuse_external_data

IMAGES = np.random.default_rng(0).normal(size=(3, 3, 16, 16)).astype(np.float32)


def saved(folder: Path, *, one_file: bool = True, nested: bool = False) -> Path:
    """The model of one file, saved with all its weights outside."""
    model = onnx.load_from_string(colour_model(16, 4.0, gate=True))
    if nested:
        kept = numpy_helper.from_array(np.ones((3, 2), dtype=np.float32), "kept")
        branch = helper.make_graph([], "branch", [], [], [kept])
        model.graph.node.append(
            helper.make_node("If", ["condition"], ["unused"], then_branch=branch, else_branch=branch)
        )
    onnx.save(
        model,
        str(folder / "m.onnx"),
        save_as_external_data=True,
        all_tensors_to_one_file=one_file,
        location="m.onnx.data" if one_file else None,
        size_threshold=0,
        convert_attribute=True,
    )
    return folder / "m.onnx"


@pytest.mark.parametrize("one_file", [True, False])
def test_the_model_computes_as_the_one_in_a_single_file(tmp_path: Path, one_file: bool) -> None:
    path = saved(tmp_path, one_file=one_file)
    with pytest.raises(ModelRefused, match="another file"):
        refuse_external_data(path.read_bytes())
    whole = read_model(path)
    refuse_external_data(whole)
    onnx.checker.check_model(onnx.load_from_string(whole))
    expected = open_model(colour_model(16, 4.0, gate=True)).run(IMAGES)
    for found in (open_model(whole).run(IMAGES), open_model(path).run(IMAGES)):
        assert np.array_equal(found.logits, expected.logits)


def test_tensors_in_branches_are_taken_in(tmp_path: Path) -> None:
    whole = onnx.load_from_string(read_model(saved(tmp_path, nested=True)))
    branch = whole.graph.node[-1].attribute[0].g
    assert numpy_helper.to_array(branch.initializer[0]).tolist() == np.ones((3, 2)).tolist()


def test_a_model_in_a_single_file_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(colour_model(16, 4.0))
    assert read_model(tmp_path / "m.onnx") == colour_model(16, 4.0)


def referring_to(folder: Path, location: str, **entries: str) -> Path:
    path = saved(folder)
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        given = {entry.key: entry.value for entry in tensor.external_data} | {"location": location} | entries
        del tensor.external_data[:]
        for key, value in given.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "link", "", "a\0b"])
def test_files_outside_of_the_folder_are_never_read(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(1000))
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelRefused, match=r"outside of its folder; save the model as a single file"):
        read_model(referring_to(folder, location))


def test_a_missing_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = saved(tmp_path)
    (tmp_path / "m.onnx.data").unlink()
    with pytest.raises(ModelRefused, match=r"'m\.onnx\.data', which is not in its folder; put it there, or"):
        read_model(path)


@pytest.mark.parametrize(
    "entries", [{"length": "100000"}, {"offset": "-1"}, {"offset": "x"}, {"offset": "99999", "length": "-1"}]
)
def test_weights_beyond_the_end_of_their_file(tmp_path: Path, entries: dict[str, str]) -> None:
    with pytest.raises(ModelRefused, match="bytes at"):
        read_model(referring_to(tmp_path, "m.onnx.data", **entries))


@given(junk=st.binary(max_size=300), place=st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_damaged_files_are_refused_or_read(
    junk: bytes, place: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    data = saved(folder).read_bytes()
    place %= len(data)
    (folder / "m.onnx").write_bytes(data[:place] + junk + data[place + len(junk) :])
    try:
        refuse_external_data(read_model(folder / "m.onnx"))
    except ModelRefused:
        return
