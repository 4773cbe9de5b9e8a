"""The Open Inference Protocol: its routes, both forms of a tensor, and refusals."""

from __future__ import annotations

import base64
import gzip
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fakes.tiny_bundle import ABSTAINED, ANSWERED_BY_A, ANSWERED_BY_B
from fakes.waiting import eventually
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

Images = Callable[..., bytes]
INFER = "/v2/models/tiny/infer"


def request_of(*images: bytes, **more: Any) -> dict[str, Any]:
    data = [base64.b64encode(image).decode() for image in images]
    return {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [len(images)], "data": data}], **more}


def tensors(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {output["name"]: output["data"] for output in answer.json()["outputs"]}


def test_metadata_of_server_and_model(client: TestClient) -> None:
    server = client.get("/v2").json()
    assert (server["name"], server["extensions"]) == ("demur", ["binary_tensor_data"])
    version = client.get("/health").json()["bundle"]["version"]
    model = client.get("/v2/models/tiny").json()
    assert (model["name"], model["versions"], model["platform"]) == (
        "tiny",
        [version],
        "onnxruntime-cpu/fp32",
    )
    assert model["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    assert {"name": "prediction_set", "datatype": "BOOL", "shape": [-1, 2]} in model["outputs"]
    assert client.get(f"/v2/models/tiny/versions/{version}").json() == model
    assert client.get(f"/v2/models/tiny/versions/{version}/ready").json() == {"name": "tiny", "ready": True}
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}


@pytest.mark.parametrize(
    "path", ["/v2/models/other", "/v2/models/tiny/versions/1/ready", "/v2/models/other/infer"]
)
def test_an_unknown_model(client: TestClient, path: str) -> None:
    answer = client.post(path, json={}) if path.endswith("infer") else client.get(path)
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:demur:problem:no-such-model"
    # Clients of the protocol read the reason here.
    assert answer.json()["error"] == answer.json()["detail"]


def test_it_decides_as_predict_does(client: TestClient, make_colour_image: Images) -> None:
    images = [
        make_colour_image(1, ANSWERED_BY_A),
        make_colour_image(0, ANSWERED_BY_B),
        make_colour_image(1, ABSTAINED),
    ]
    answer = client.post(INFER, json=request_of(*images, id="run 7"), headers={"X-Request-Id": "own"})
    body, got = answer.json(), tensors(answer)
    assert (body["model_name"], body["id"]) == ("tiny", "run 7")
    assert body["parameters"]["promise"].startswith("With 95 % confidence")
    for index, image in enumerate(images):
        expected = client.post("/predict", content=image, headers={"Content-Type": "image/jpeg"}).json()
        for name in ("decision", "probability", "confidence", "stage", "audit"):
            assert got[name][index] == expected[name]
        assert got["label"][index] == (-1 if expected["label"] is None else expected["label"])
        assert got["label_name"][index] == (expected["label_name"] or "")
        assert got["reason"][index] == (expected["reason"] or "")
    assert got["prediction_set"] == [False, True, True, False, True, True]


def test_an_image_is_counted_and_recorded_under_the_given_id(
    monitored: TestClient, make_colour_image: Images
) -> None:
    image = make_colour_image(1, ANSWERED_BY_A)
    assert tensors(monitored.post(INFER, json=request_of(image, id="v2-one")))["request_id"] == ["v2-one"]
    both = tensors(monitored.post(INFER, json=request_of(image, image, id="v2-two")))
    assert both["request_id"] == ["v2-two.0", "v2-two.1"]
    for own_id in ("v2-one", "v2-two.1"):
        assert monitored.post("/feedback", json={"request_id": own_id, "label": 1}).status_code == 202
    version = monitored.get("/health").json()["bundle"]["version"]
    counted = f'demur_decisions_total{{bundle="tiny:{version}",decision="answer",stage="A"}} 3.0'
    assert counted in monitored.get("/metrics").text
    eventually(lambda: monitored.get("/rolling").json()["labelled"] == 2)


@pytest.mark.parametrize("shape", [[4], [4, 1], [1, 4], [2, 2], [1, 2, 2], [2, 1, 2, 1]], ids=str)
def test_data_may_be_flat_or_nested_as_any_shape_says(
    client: TestClient, make_colour_image: Images, shape: list[int]
) -> None:
    labels = [1, 0, 0, 1]
    request = request_of(*(make_colour_image(label, ANSWERED_BY_A) for label in labels))
    (tensor,) = request["inputs"]
    tensor["shape"] = shape
    assert tensors(client.post(INFER, json=request))["label"] == labels
    tensor["data"] = np.array(tensor["data"], dtype=object).reshape(shape).tolist()
    assert tensors(client.post(INFER, json=request))["label"] == labels


def test_a_single_image_may_have_no_dimension(client: TestClient, make_colour_image: Images) -> None:
    request = request_of(make_colour_image(1, ANSWERED_BY_A))
    (tensor,) = request["inputs"]
    tensor["shape"] = []
    assert tensors(client.post(INFER, json=request))["label"] == [1]
    tensor["data"] = tensor["data"][0]
    assert tensors(client.post(INFER, json=request))["label"] == [1]


@pytest.mark.parametrize(
    "data",
    [
        "AAAA",
        [["AAAA"] * 4],
        [["AAAA"] * 2],
        [["AAAA"], ["AAAA"] * 3],
        ["AAAA", ["AAAA"] * 3],
        ["AAAA"] * 3,
        [[]],
    ],
    ids=str,
)
def test_data_that_are_not_nested_as_the_shape_says(client: TestClient, data: Any) -> None:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [2, 2], "data": data}
    refusal = client.post(INFER, json={"inputs": [tensor]})
    assert (refusal.status_code, refusal.json()["field"]) == (422, "inputs[0].data")
    assert "[2, 2]" in refusal.json()["detail"]


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body(
    make_client: Callable[..., TestClient],
    make_colour_image: Images,
    encoding: str,
    compress: Callable[[bytes], bytes],
) -> None:
    client = make_client(max_batch_bytes=100_000)
    headers = {"Content-Encoding": encoding}
    body = json.dumps(request_of(make_colour_image(1, ANSWERED_BY_A))).encode()
    assert tensors(client.post(INFER, content=compress(body), headers=headers))["label"] == [1]
    bomb = compress(b" " * 100_000_000)
    assert len(bomb) < 100_000 + 5_000
    assert client.post(INFER, content=bomb[:100_000], headers=headers).status_code == 413
    for damaged in (compress(body)[:-5], body, b""):
        refusal = client.post(INFER, content=damaged, headers=headers)
        assert (refusal.status_code, refusal.json()["field"]) == (422, "body")
    refusal = client.post(INFER, content=body, headers={"Content-Encoding": "br"})
    assert refusal.status_code == 415


def test_an_id_that_is_replaced_is_reported(client: TestClient, make_colour_image: Images) -> None:
    image = make_colour_image(1, ANSWERED_BY_A)
    body = client.post(INFER, json=request_of(image, id="run 7")).json()
    assert body["parameters"]["replaced_request_id"] == "run 7"
    body = client.post(INFER, json=request_of(image, id="run-7")).json()
    assert "replaced_request_id" not in body["parameters"]


def test_only_the_requested_outputs(client: TestClient, make_colour_image: Images) -> None:
    asked = [{"name": "stage"}, {"name": "decision"}]
    got = tensors(client.post(INFER, json=request_of(make_colour_image(1, ANSWERED_BY_A), outputs=asked)))
    assert got == {"stage": ["A"], "decision": ["answer"]}


def binary_body(head: dict[str, Any], tail: bytes) -> tuple[bytes, dict[str, str]]:
    text = json.dumps(head).encode()
    return text + tail, {"Inference-Header-Content-Length": str(len(text))}


def test_binary_tensors_in_and_out(client: TestClient, make_colour_image: Images) -> None:
    image = make_colour_image(1, ABSTAINED)
    tail = struct.pack("<I", len(image)) + image
    head = {
        "inputs": [
            {
                "name": "image",
                "datatype": "BYTES",
                "shape": [1, 1],
                "parameters": {"binary_data_size": len(tail)},
            }
        ],
        "outputs": [
            {"name": "label", "parameters": {"binary_data": True}},
            {"name": "decision"},
            {"name": "prediction_set", "parameters": {"binary_data": True}},
        ],
    }
    content, headers = binary_body(head, tail)
    answer = client.post(INFER, content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["inference-header-content-length"])
    outputs = json.loads(answer.content[:length])["outputs"]
    assert outputs[0]["parameters"] == {"binary_data_size": 8}
    assert outputs[1]["data"] == ["abstain"]
    assert outputs[2]["shape"] == [1, 2]
    assert answer.content[length:] == struct.pack("<q", -1) + b"\x01\x01"


GOOD = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["AAAA"]}


@pytest.mark.parametrize(
    ("content", "status", "field"),
    [
        ([], 422, "body"),
        ({}, 422, "inputs"),
        ({"inputs": []}, 422, "inputs"),
        ({"inputs": [7]}, 422, "inputs"),
        ({"inputs": [GOOD, GOOD]}, 422, "inputs"),
        ({"inputs": [{**GOOD, "name": "x"}]}, 422, "inputs[0].name"),
        ({"inputs": [{**GOOD, "datatype": "UINT8"}]}, 422, "inputs[0].datatype"),
        ({"inputs": [{**GOOD, "shape": [2]}]}, 422, "inputs[0].data"),
        ({"inputs": [{**GOOD, "shape": [0]}]}, 422, "inputs[0].shape"),
        ({"inputs": [{**GOOD, "shape": [True]}]}, 422, "inputs[0].shape"),
        ({"inputs": [{**GOOD, "shape": [1, 2]}]}, 422, "inputs[0].data"),
        ({"inputs": [{**GOOD, "shape": [1] * 9}]}, 422, "inputs[0].shape"),
        ({"inputs": [{**GOOD, "shape": "1"}]}, 422, "inputs[0].shape"),
        ({"inputs": [{**GOOD, "shape": [10**9]}]}, 413, "inputs[0].shape"),
        ({"inputs": [{**GOOD, "parameters": 7}]}, 422, "inputs[0].parameters"),
        ({"inputs": [{**GOOD, "data": [7]}]}, 422, "inputs[0].data[0]"),
        ({"inputs": [{**GOOD, "data": [["AAAA", "AAAA"]]}]}, 422, "inputs[0].data"),
        ({"inputs": [{**GOOD, "data": [[["AAAA"]]]}]}, 422, "inputs[0].data"),
        ({"inputs": [{**GOOD, "data": ["%"]}]}, 422, "inputs[0].data[0]"),
        ({"inputs": [GOOD], "id": 7}, 422, "id"),
        ({"inputs": [GOOD], "outputs": 7}, 422, "outputs"),
        ({"inputs": [GOOD], "outputs": [{"name": "logits"}]}, 422, "outputs[0].name"),
        ({"inputs": [GOOD]}, 400, "image"),
        (
            {"inputs": [{**GOOD, "parameters": {"binary_data_size": 9}}]},
            422,
            "inputs[0].parameters.binary_data_size",
        ),
    ],
)
def test_invalid_requests(client: TestClient, content: Any, status: int, field: str) -> None:
    answer = client.post(INFER, json=content)
    assert (answer.status_code, answer.json()["field"]) == (status, field)
    assert answer.json()["error"]


def test_one_bad_image_refuses_the_request_and_nothing_is_recorded(
    client: TestClient, make_colour_image: Images
) -> None:
    good = make_colour_image(1, ANSWERED_BY_A)
    answer = client.post(INFER, json=request_of(good, b"no image", good))
    assert (answer.status_code, answer.json()["field"]) == (400, "inputs[0].data[1]")
    assert "demur_decisions_total{" not in client.get("/metrics").text


def test_a_large_body(client: TestClient, make_colour_image: Images) -> None:
    image = make_colour_image(1, ANSWERED_BY_A, size=(700, 900), encoding="PNG")
    assert len(image) > 200_000
    assert tensors(client.post(INFER, json=request_of(image)))["decision"] == ["answer"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(0, 300) | st.just(10**11), tail=st.binary(max_size=60), size=st.integers(-1, 70))
def test_no_bytes_break_the_binary_form(client: TestClient, length: int, tail: bytes, size: int) -> None:
    head = {"inputs": [{**GOOD, "parameters": {"binary_data_size": size}}]}
    content, headers = binary_body(head, tail)
    for given_length in (str(length), headers["Inference-Header-Content-Length"]):
        answer = client.post(
            INFER, content=content, headers={"Inference-Header-Content-Length": given_length}
        )
        assert 400 <= answer.status_code < 500
