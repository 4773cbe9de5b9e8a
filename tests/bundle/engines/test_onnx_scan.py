"""A model that reaches outside its file is refused before a runtime sees it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from fakes.tiny_bundle import colour_model
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from bundle.engines.onnx_scan import ModelRefused, refuse_external_data

MODEL = colour_model(16, 4.0, gate=True)


def external_tensor(name: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.ones((3, 2), dtype=np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return tensor


def as_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(external_tensor("extra"))


def as_location_only(model: onnx.ModelProto) -> None:
    tensor = external_tensor("extra")
    tensor.ClearField("external_data")
    model.graph.initializer.append(tensor)


def as_data_only(model: onnx.ModelProto) -> None:
    tensor = external_tensor("extra")
    tensor.ClearField("data_location")
    model.graph.initializer.append(tensor)


def as_constant(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=external_tensor("c")))


def as_sparse(model: onnx.ModelProto) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(external_tensor("values"))


def in_a_branch(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([], "branch", [], [], [external_tensor("inner")])
    model.graph.node.append(
        helper.make_node("If", ["condition"], ["o"], then_branch=branch, else_branch=branch)
    )


def in_a_function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["c"], value=external_tensor("c"))
    model.functions.append(helper.make_function("d", "f", [], ["c"], [node], [helper.make_opsetid("", 17)]))


def in_training(model: onnx.ModelProto) -> None:
    model.training_info.add().initialization.initializer.append(external_tensor("t"))


@pytest.mark.parametrize(
    "hide",
    [
        as_initializer,
        as_location_only,
        as_data_only,
        as_constant,
        as_sparse,
        in_a_branch,
        in_a_function,
        in_training,
    ],
)
def test_external_data_is_found_wherever_it_hides(hide: object) -> None:
    model = onnx.load_from_string(MODEL)
    hide(model)  # type: ignore[operator]
    with pytest.raises(ModelRefused, match="another file"):
        refuse_external_data(model.SerializeToString())


def test_a_plain_model_passes() -> None:
    refuse_external_data(MODEL)


def test_cut_anywhere_it_is_refused() -> None:
    graph = onnx.load_from_string(MODEL)
    graph.ClearField("opset_import")
    data = graph.SerializeToString()
    for end in range(len(data) - 1):
        with pytest.raises(ModelRefused):
            refuse_external_data(data[:end])


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_junk_is_refused_or_harmless(junk: bytes) -> None:
    try:
        refuse_external_data(junk)
    except ModelRefused:
        return
    assert b":" in junk  # the key byte of a graph field


def test_graphs_nested_without_end_are_refused() -> None:
    def field(number: int, body: bytes) -> bytes:
        length, size = len(body), b""
        while length > 0x7F:
            size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
        return bytes([number << 3 | 2]) + size + bytes([length]) + body

    graph = b""
    for _ in range(200):
        graph = field(1, field(5, field(6, graph)))
    with pytest.raises(ModelRefused, match="deep"):
        refuse_external_data(field(7, graph))
