"""Engines: what is asked for is obtained, and what does not fit says so at once."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from fakes.tiny_bundle import colour_model, looping_model
from onnx import TensorProto, helper, numpy_helper

from bundle.engines import installed, openvino_cpu
from bundle.engines.contract import EngineKey, EngineUnavailable, ModelUnfit
from bundle.engines.installed import available_engines, usable_keys
from bundle.engines.model import open_model
from bundle.engines.onnx_scan import ModelRefused
from bundle.engines.ort import PROVIDERS
from bundle.engines.outputs import TO_LOGITS, OutputUnfit
from calibration.scores import softmax


def batch(size: int, side: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(size, 3, side, side)).astype(np.float32)


def pooled_model(
    tail: str,
    *,
    inputs: Sequence[object] = ("b", 3, 16, 16),
    output: str = "scores",
    output_shape: Sequence[object] = ("b", 3),
    kind: int = TensorProto.FLOAT,
) -> bytes:
    """mean colour [B, 3] -> the node `tail` -> `output`."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colour"]),
        helper.make_node(tail, ["colour"], [output]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", kind, inputs)],
        [helper.make_tensor_value_info(output, kind, output_shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()


class TestRun:
    def test_logits_and_gate(self) -> None:
        engine = open_model(colour_model(16, 4.0, gate=True))
        assert (engine.name, engine.classes, engine.image_size) == ("onnxruntime-cpu/fp32", 2, (16, 16))
        images = batch(3)
        outputs = engine.run(images)
        mean = images.mean(axis=(2, 3)).astype(np.float64)
        assert np.allclose(outputs.logits, 4.0 * mean[:, [2, 0]], atol=1e-5)
        assert outputs.gate is not None
        assert np.allclose(outputs.gate, np.abs(np.diff(outputs.logits)[:, 0]) - 2.0, atol=1e-5)
        assert outputs.logits.dtype == outputs.gate.dtype == np.float64

    def test_without_a_gate(self) -> None:
        engine = open_model(colour_model(16, 4.0))
        assert not engine.has_gate
        assert engine.run(batch(1)).gate is None

    def test_from_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(colour_model(16, 4.0))
        assert open_model(path).classes == 2

    def test_three_classes(self) -> None:
        assert open_model(colour_model(16, 4.0, classes=3)).run(batch(2)).logits.shape == (2, 3)

    def test_a_model_for_one_image_at_a_time_takes_many(self) -> None:
        fixed = open_model(pooled_model("Identity", inputs=(1, 3, 16, 16), output_shape=(1, 3)))
        free = open_model(pooled_model("Identity"))
        assert np.array_equal(fixed.run(batch(5)).logits, free.run(batch(5)).logits)


class TestOutputs:
    def test_probabilities_become_logits_of_the_same_probabilities(self) -> None:
        raw = open_model(pooled_model("Identity")).run(batch(4)).logits
        engine = open_model(pooled_model("Softmax"), output="probabilities")
        assert np.allclose(softmax(engine.run(batch(4)).logits), softmax(raw), atol=1e-6)

    def test_a_probability_of_zero_stays_finite(self) -> None:
        engine = open_model(pooled_model("Softmax"), output="probabilities")
        images = np.zeros((1, 3, 16, 16), dtype=np.float32)
        images[:, 0] = 1000.0
        logits = engine.run(images).logits
        assert np.isfinite(logits).all()
        assert softmax(logits)[0].tolist() == pytest.approx([1.0, 0.0, 0.0], abs=1e-9)

    def test_what_is_no_table_of_probabilities_is_refused(self) -> None:
        with pytest.raises(ModelUnfit, match="do not sum to 1"):
            open_model(pooled_model("Identity"), output="probabilities")

    @pytest.mark.parametrize("output_shape", [("b",), ("b", 1)])
    def test_a_binary_logit_becomes_two(self, output_shape: tuple[str | int, ...]) -> None:
        nodes = [
            helper.make_node(
                "ReduceMean",
                ["image"],
                ["logit"],
                axes=[1, 2, 3] if len(output_shape) == 1 else [2, 3],
                keepdims=0,
            )
        ]
        if len(output_shape) == 2:
            nodes[0].output[0] = "colour"
            nodes.append(helper.make_node("ReduceMean", ["colour"], ["logit"], axes=[1], keepdims=1))
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ("b", 3, 16, 16))],
            [helper.make_tensor_value_info("logit", TensorProto.FLOAT, output_shape)],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        engine = open_model(model.SerializeToString(), output="binary_logit")
        images = batch(4)
        positive = images.mean(axis=(1, 2, 3))
        assert np.allclose(engine.run(images).logits[:, 1], positive, atol=1e-6)
        assert np.allclose(softmax(engine.run(images).logits)[:, 1], 1 / (1 + np.exp(-positive)), atol=1e-6)

    def test_several_logits_are_no_binary_logit(self) -> None:
        with pytest.raises(ModelUnfit, match="binary logit"):
            open_model(pooled_model("Identity"), output="binary_logit")

    @pytest.mark.parametrize("value", [1.0000001, 1.0 + 2**-23, -1e-8, 1.0005, -0.0005])
    def test_probabilities_beyond_their_range_by_rounding(self, value: float) -> None:
        expected = min(1.0, max(0.0, value))
        single = TO_LOGITS["binary_probability"](np.array([[0.25], [value]], dtype=np.float64))
        assert softmax(single)[:, 1] == pytest.approx([0.25, expected], abs=1e-9)
        table = TO_LOGITS["probabilities"](np.array([[0.75, 0.25], [1.0 - value, value]]))
        assert softmax(table)[:, 1] == pytest.approx([0.25, expected], abs=1e-3)
        assert np.isfinite(single).all()
        assert np.isfinite(table).all()

    @pytest.mark.parametrize("value", [1.01, -0.01, 7.0])
    def test_values_that_are_no_probabilities_are_refused(self, value: float) -> None:
        with pytest.raises(OutputUnfit, match="range from 0 to 1"):
            TO_LOGITS["binary_probability"](np.array([[0.5], [value]]))
        with pytest.raises(OutputUnfit, match="no table of probabilities"):
            TO_LOGITS["probabilities"](np.array([[0.5, 0.5], [value, 0.5]]))

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_a_value_that_is_no_number_costs_its_own_image_alone(self, value: float) -> None:
        single = TO_LOGITS["binary_probability"](np.array([0.25, value]))
        table = TO_LOGITS["probabilities"](np.array([[0.75, 0.25], [value, 0.5]]))
        for logits in (single, table):
            assert softmax(logits[:1])[:, 1] == pytest.approx([0.25])
            assert np.isnan(logits[1]).all()
        with pytest.raises(OutputUnfit):
            TO_LOGITS["binary_probability"](np.array([value, 5.0]))

    def test_the_error_keeps_its_cause(self) -> None:
        with pytest.raises(ModelUnfit) as caught:
            open_model(pooled_model("Identity"), output="binary_logit")
        assert isinstance(caught.value.__cause__, OutputUnfit)


class TestUnfit:
    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            (("b", 1, 16, 16), "must be float32"),
            (("b", 3, 16), "must be float32"),
            ((4, 3, 16, 16), "batches of 4"),
        ],
    )
    def test_inputs(self, inputs: tuple[object, ...], message: str) -> None:
        with pytest.raises(ModelUnfit, match=message):
            open_model(pooled_model("Identity", inputs=inputs))

    def test_input_type(self) -> None:
        with pytest.raises(ModelUnfit, match=r"tensor\(float16\)"):
            open_model(pooled_model("Identity", kind=TensorProto.FLOAT16))

    def test_another_size_than_that_of_the_preprocessing(self) -> None:
        with pytest.raises(ModelUnfit, match=r"makes \(32, 32\)"):
            open_model(colour_model(16, 4.0), image_size=(32, 32))

    def test_two_outputs_without_a_known_name(self) -> None:
        graph = helper.make_graph(
            [helper.make_node("Split", ["image"], ["one", "two"], axis=3)],
            "g",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ("b", 3, 16, 16))],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("one", "two")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        with pytest.raises(ModelUnfit, match=r"outputs are \['one', 'two'\]"):
            open_model(model.SerializeToString())

    def test_one_logit_is_too_few(self) -> None:
        with pytest.raises(ModelUnfit, match="K at least 2"):
            open_model(_one_class_model())

    @pytest.mark.parametrize("data", [b"", b"not a model", colour_model(16, 4.0)[:200]])
    def test_no_model_at_all(self, data: bytes) -> None:
        with pytest.raises(ModelRefused):
            open_model(data)


def _one_class_model() -> bytes:
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image"], ["colour"], axes=[2, 3], keepdims=0),
            helper.make_node("ReduceMean", ["colour"], ["logits"], axes=[1], keepdims=1),
        ],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ("b", 3, 16, 16))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("b", 1))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()


HERE = usable_keys()


@pytest.mark.parametrize("key", HERE, ids=str)
class TestEveryEngine:
    """Real runtimes on a real model, at every precision that this machine computes."""

    def test_computes_what_the_model_says(self, key: EngineKey) -> None:
        engine = open_model(colour_model(16, 4.0, gate=True), engine=key.engine, precision=key.precision)
        images = batch(3)
        outputs = engine.run(images)
        expected = 4.0 * images.mean(axis=(2, 3)).astype(np.float64)[:, [2, 0]]
        tolerance = 2e-2 if key.precision == "bf16" else 1e-5
        assert np.allclose(outputs.logits, expected, atol=tolerance)
        assert outputs.gate is not None
        assert np.allclose(outputs.gate, np.abs(np.diff(outputs.logits)[:, 0]) - 2.0, atol=2 * tolerance)
        assert (engine.name, engine.key, engine.image_size) == (str(key), key, (16, 16))

    def test_names_itself_and_its_devices(self, key: EngineKey) -> None:
        engine = open_model(colour_model(16, 4.0), engine=key.engine, precision=key.precision)
        assert engine.providers == (("CPU",) if key.engine == "openvino" else ("CPUExecutionProvider",))

    def test_from_many_threads(self, key: EngineKey) -> None:
        engine = open_model(colour_model(16, 4.0), engine=key.engine, precision=key.precision, calls=2)
        images = [batch(1 + seed % 3, seed=seed) for seed in range(32)]
        alone = [engine.run(image).logits for image in images]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda image: engine.run(image).logits, images))
        assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))

    def test_a_result_outlives_the_next_call(self, key: EngineKey) -> None:
        engine = open_model(colour_model(16, 4.0), engine=key.engine, precision=key.precision)
        first = engine.run(batch(2, seed=1)).logits
        kept = first.copy()
        engine.run(batch(2, seed=2))
        assert np.array_equal(first, kept)

    def test_a_model_that_does_not_open(self, key: EngineKey) -> None:
        with pytest.raises(ModelUnfit, match="does not open"):
            open_model(pooled_model("Frobnicate"), engine=key.engine, precision=key.precision)

    def test_an_open_size_must_be_given(self, key: EngineKey) -> None:
        model = pooled_model("Identity", inputs=("b", 3, "h", "w"))
        with pytest.raises(ModelUnfit, match="give its image size"):
            open_model(model, engine=key.engine, precision=key.precision)
        opened = open_model(model, image_size=(20, 24), engine=key.engine, precision=key.precision)
        assert opened.run(batch(2, side=20)[:, :, :, :20].repeat(2, 3)[..., :24]).logits.shape == (2, 3)


def dynamic_model() -> bytes:
    """mean colour -> MatMul in int8, the activations scaled by the whole batch's range."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colour"]),
        helper.make_node("DynamicQuantizeLinear", ["colour"], ["small", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["small", "weights", "zero"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["whole"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["whole", "scale"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ("b", 3, 16, 16))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("b", 3))],
        [numpy_helper.from_array(np.diag([3, 2, 1]).astype(np.int8), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()


@pytest.mark.parametrize("engine", [key.engine for key in HERE if key.precision == "int8"])
def test_in_int8_the_scores_of_an_image_do_not_depend_on_its_batch(engine: str) -> None:
    images = batch(4) * np.array([1, 10, 100, 1000], dtype=np.float32)[:, None, None, None]
    careless = open_model(dynamic_model(), engine=engine)
    careful = open_model(dynamic_model(), engine=engine, precision="int8")
    alone = np.concatenate([careful.run(images[row : row + 1]).logits for row in range(4)])
    assert np.array_equal(careful.run(images).logits, alone)
    assert np.abs(careless.run(images).logits - alone).max() > 0.01


class TestProviders:
    def test_the_cpu_is_always_offered_and_comes_last(self) -> None:
        assert available_engines() == ("openvino", "onnxruntime-cpu")

    def test_an_unknown_engine_is_named(self) -> None:
        with pytest.raises(EngineUnavailable, match=r"'tpu'; it must be one of onnxruntime-cuda"):
            open_model(colour_model(16, 4.0), engine="tpu")

    def test_a_precision_that_the_engine_does_not_compute_at(self) -> None:
        with pytest.raises(EngineUnavailable, match=r"does not compute at 'bf16'; it computes at fp32, int8"):
            open_model(colour_model(16, 4.0), precision="bf16")

    def test_a_precision_that_the_cpu_does_not_compute_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        installed._openvino_has_bf16.cache_clear()
        monkeypatch.setattr(openvino_cpu, "capabilities", lambda: frozenset({"FP32", "INT8"}))
        try:
            with pytest.raises(EngineUnavailable, match="no bf16 instructions"):
                open_model(colour_model(16, 4.0), engine="openvino", precision="bf16")
            assert EngineKey("openvino", "bf16") not in usable_keys()
        finally:
            installed._openvino_has_bf16.cache_clear()

    def test_a_device_that_is_not_here_is_refused(self) -> None:
        with pytest.raises(EngineUnavailable, match=r"only openvino, onnxruntime-cpu; .*extra \[gpu\]"):
            open_model(colour_model(16, 4.0), engine="onnxruntime-cuda")

    def test_a_silent_fallback_to_the_cpu_is_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """onnxruntime-gpu without a working driver offers CUDA and then runs on the CPU."""
        session = onnxruntime.InferenceSession

        def fall_back(content: bytes, options: object, providers: list[str]) -> object:
            return session(content, options, providers=["CPUExecutionProvider"])

        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(PROVIDERS.values()))
        monkeypatch.setattr(onnxruntime, "InferenceSession", fall_back)
        with pytest.raises(EngineUnavailable, match=r"obtained \['CPUExecutionProvider'\]"):
            open_model(colour_model(16, 4.0), engine="onnxruntime-cuda")

    def test_two_runtimes_of_one_name_are_reported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert installed.installation_problems() == ()
        wheel = tmp_path / "onnxruntime_gpu-1.32.0.dist-info"
        wheel.mkdir()
        (wheel / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.32.0\n")
        monkeypatch.syspath_prepend(tmp_path)
        (problem,) = installed.installation_problems()
        assert problem.startswith("onnxruntime and onnxruntime-gpu are installed together")
        assert "onnxruntime-gpu 1.32.0" in installed.runtime_version("onnxruntime-cuda")
        with pytest.raises(EngineUnavailable, match="overwrite one another"):
            open_model(colour_model(16, 4.0), engine="onnxruntime-cuda")

    @pytest.mark.parametrize(
        ("missing", "requested", "message"),
        [
            (("onnxruntime", "openvino"), "onnxruntime-cpu", "the extra [cpu], [gpu] or [openvino]"),
            (("onnxruntime",), "onnxruntime-cpu", "only openvino; install demur with the extra [cpu]"),
            (("openvino",), "openvino", "only onnxruntime-cpu; install demur with the extra [openvino]"),
        ],
    )
    def test_a_start_without_the_runtime_says_so_in_one_line(
        self, tmp_path: Path, missing: tuple[str, ...], requested: str, message: str
    ) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(colour_model(16, 4.0))
        program = (
            f"missing = {missing!r}\n"
            "import sys; sys.modules.update(dict.fromkeys(missing))\n"
            "from importlib import util; find = util.find_spec\n"
            "util.find_spec = lambda name, *a: None if name in missing else find(name, *a)\n"
            "from pathlib import Path; from bundle.engines.model import *\n"
            f"try: open_model(Path({str(path)!r}), engine={requested!r})\n"
            "except EngineUnavailable as fault: print(fault)\n"
        )
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert message in ran.stdout
        assert ran.stdout.count("\n") == 1


@pytest.mark.parametrize("engine", ["onnxruntime-cpu", "openvino"])
def test_a_model_that_loops_is_refused_in_time(engine: str) -> None:
    """In a process of its own, which must end as well."""
    code = (
        "import sys\n"
        "from bundle.engines.contract import ModelTimeout\n"
        "from bundle.engines.model import open_model\n"
        "try:\n"
        "    open_model(sys.stdin.buffer.read(), engine=sys.argv[1], time_limit=0.5)\n"
        "except ModelTimeout as error:\n"
        "    print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code, engine],
        input=looping_model(16),
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert ran.stdout.decode() == "the model took longer than 0.5 s\n", ran.stderr.decode()
