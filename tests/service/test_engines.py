"""The inference engine of a bundle: its choice, its report, and the promise on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.tiny_bundle import ANSWERED_BY_A, colour_image
from starlette.testclient import TestClient

from bundle.engines.contract import EngineUnavailable
from bundle.engines.installed import usable_keys
from monitoring.metrics.instruments import Instruments
from service.errors import SettingsError
from service.settings import Settings

EVERYWHERE = tuple(str(key) for key in usable_keys())


def test_health_reports_the_engine(client: TestClient) -> None:
    body = client.get("/health").json()
    computes = body["computes"]
    assert (computes["engine"], computes["precision"]) == ("onnxruntime-cpu", "fp32")
    assert computes["providers"] == ["CPUExecutionProvider"]
    assert computes["runtime"].startswith("onnxruntime ")
    assert set(computes["batch_sizes"]) == {"A", "B"}
    assert computes["why"] == "the only one that the bundle is certified on and that is available here"
    assert computes["problems"] == []
    assert computes["processor"]


def test_the_metrics_name_the_engine(client: TestClient) -> None:
    (line,) = [
        line for line in client.get("/metrics").text.splitlines() if line.startswith("demur_engine_info{")
    ]
    assert line.endswith(" 1.0")
    for part in ('engine="onnxruntime-cpu"', 'precision="fp32"', 'provider="CPUExecutionProvider"'):
        assert part in line


def test_the_metric_of_a_removed_bundle_is_0() -> None:
    instruments = Instruments()
    old, new = (
        ("tiny:1", "openvino", "fp32", "CPU", "openvino 1"),
        ("tiny:2", "openvino", "fp32", "CPU", "v"),
    )
    for engines in ({old}, {old, new}, {new}):
        instruments.show_engines(engines)
    lines = [line for line in instruments.render().decode().splitlines() if line.startswith("demur_engine")]
    assert sorted(line.rpartition(" ")[2] for line in lines) == ["0.0", "1.0"]
    assert next(line for line in lines if "tiny:1" in line).endswith(" 0.0")


@pytest.mark.parametrize("key", EVERYWHERE)
def test_each_engine_serves_under_its_certificate(
    make_client: Callable[..., TestClient], make_tiny_bundle: Callable[..., Path], key: str
) -> None:
    bundle = make_tiny_bundle(precisions=("fp32", "int8"), certified=EVERYWHERE)
    engine, _, precision = key.partition("/")
    client = make_client(bundle=bundle, engine=engine, precision=precision)
    assert client.get("/health").json()["engine"] == key
    image = colour_image(1, ANSWERED_BY_A)
    body = client.post("/predict", content=image, headers={"content-type": "image/jpeg"}).json()
    assert (body["decision"], body["label"]) == ("answer", 1)
    assert body["guarantee"]["alpha"] == 0.01
    assert "issued" not in body["guarantee"]


def test_an_uncertified_engine_promises_nothing(
    make_client: Callable[..., TestClient],
) -> None:
    client = make_client(engine="openvino")
    body = client.get("/health").json()
    assert body["engine"] == "openvino/fp32"
    assert body["guarantee"] is None
    assert "not certified here: this is openvino/fp32" in body["guarantee_reason"]
    image = colour_image(1, ANSWERED_BY_A)
    answer = client.post("/predict", content=image, headers={"content-type": "image/jpeg"}).json()
    assert answer["decision"] == "abstain"
    assert "not certified here" in answer["guarantee_reason"]


def test_an_engine_that_is_not_installed_stops_the_start(make_client: Callable[..., TestClient]) -> None:
    with pytest.raises(EngineUnavailable, match=r"extra \[gpu\]"):
        make_client(engine="onnxruntime-cuda")


def test_a_batch_size_may_be_given(make_client: Callable[..., TestClient]) -> None:
    computes = make_client(batch=4).get("/health").json()["computes"]
    assert computes["batch_sizes"] == {"A": 4, "B": 4}


class TestSettings:
    def test_the_environment_names_the_engine(self, tmp_path: Path) -> None:
        environment = {"DEMUR_ENGINE": "openvino", "DEMUR_PRECISION": "bf16", "DEMUR_BATCH": "8"}
        wish = Settings.read(environment, bundle=tmp_path).engine_preference()
        assert (wish.engine, wish.precision, wish.batch) == ("openvino", "bf16", 8)

    def test_auto_is_the_default(self, tmp_path: Path) -> None:
        said = Settings.read({"DEMUR_BATCH": "auto"}, bundle=tmp_path, engine="auto", precision="auto")
        assert said.engine_preference() == Settings.read({}, bundle=tmp_path).engine_preference()

    @pytest.mark.parametrize(
        ("variable", "value"),
        [("DEMUR_ENGINE", "tpu"), ("DEMUR_PRECISION", "fp8"), ("DEMUR_BATCH", "0"), ("DEMUR_BATCH", "many")],
    )
    def test_an_invalid_value_is_named(self, tmp_path: Path, variable: str, value: str) -> None:
        with pytest.raises(SettingsError, match=variable):
            Settings.read({variable: value}, bundle=tmp_path)
