"""POST /predict and /predict/batch on a real bundle: every kind of body and of answer."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.tiny_bundle import ABSTAINED, ANSWERED_BY_A, ANSWERED_BY_B
from starlette.testclient import TestClient

from service.app import create_app
from service.compute import predictor
from service.compute.predictor import decide_image
from service.settings import Settings

Images = Callable[..., bytes]
JPEG = {"Content-Type": "image/jpeg"}


def test_an_answer_has_exactly_the_fields_of_the_contract(
    client: TestClient, make_colour_image: Images
) -> None:
    answer = client.post("/predict", content=make_colour_image(1, ANSWERED_BY_A), headers=JPEG)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    timing = body.pop("timing_ms")
    assert set(timing) == {"queue", "read", "decode", "stage_a", "total"}
    assert timing["total"] >= max(timing.values())
    assert 0.9 < body.pop("probability") < 1.0
    assert body.pop("confidence") > 4.0
    assert len(body["bundle"].pop("version")) == 16
    assert body == {
        "request_id": answer.headers["x-request-id"],
        "decision": "answer",
        "label": 1,
        "label_name": "red",
        "prediction_set": [1],
        "stage": "A",
        "reason": None,
        "bundle": {"name": "tiny"},
        "guarantee": {"kind": "pac", "method": "exact", "alpha": 0.01, "delta": 0.05, "population": "image"},
        "guarantee_reason": None,
        "audit": False,
    }


def test_stage_b_answers_what_a_leaves(client: TestClient, make_colour_image: Images) -> None:
    body = client.post("/predict", content=make_colour_image(0, ANSWERED_BY_B), headers=JPEG).json()
    assert (body["decision"], body["label"], body["stage"]) == ("answer", 0, "B")
    assert "stage_b" in body["timing_ms"]


def test_an_abstention_still_carries_a_probability(client: TestClient, make_colour_image: Images) -> None:
    body = client.post("/predict", content=make_colour_image(1, ABSTAINED), headers=JPEG).json()
    assert (body["decision"], body["label"], body["label_name"]) == ("abstain", None, None)
    assert (body["stage"], body["reason"], body["prediction_set"]) == ("B", "ambiguous", [0, 1])
    assert 0.0 <= body["probability"] <= 1.0


@pytest.mark.parametrize("encoding", ["JPEG", "PNG", "WEBP"])
def test_every_kind_of_body_gives_the_same_decision(
    client: TestClient, make_colour_image: Images, encoding: str
) -> None:
    image = make_colour_image(1, ANSWERED_BY_A, encoding=encoding)
    answers = [
        client.post("/predict", content=image, headers={"Content-Type": f"image/{encoding.lower()}"}),
        client.post("/predict", files={"file": ("x.bin", image)}),
        client.post("/predict", json={"image": base64.b64encode(image).decode()}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len({answer.json()["confidence"] for answer in answers}) == 1


def test_a_well_formed_request_id_is_kept_and_a_malformed_one_is_not(
    client: TestClient, make_colour_image: Images
) -> None:
    image = make_colour_image(1, ANSWERED_BY_A)
    for given, kept in (("frame-17.a_b", True), ("no spaces", False), ("x" * 200, False), ("-x", False)):
        answer = client.post("/predict", content=image, headers={**JPEG, "X-Request-Id": given})
        assert (answer.json()["request_id"] == given) is kept
        assert answer.headers["x-request-id"] == answer.json()["request_id"]
        assert answer.json().get("replaced_request_id") == (None if kept else given[:128])
        assert answer.headers.get("x-request-id-replaced") == (None if kept else "true")


def test_a_question_without_an_answer_stands_beside_the_guarantee(
    make_client: Callable[..., TestClient], make_tiny_bundle: Callable[..., Path], make_colour_image: Images
) -> None:
    doubt = (
        "It counts every image as independent; nobody has said whether images of one owner belong together."
    )
    client = make_client(bundle=make_tiny_bundle(doubt=doubt))
    body = client.post("/predict", content=make_colour_image(1, ANSWERED_BY_A), headers=JPEG).json()
    assert body["guarantee"]["doubt"] == doubt
    assert doubt in client.get("/health").text


def test_the_shares_that_a_promise_needs_stand_in_the_guarantee(
    make_client: Callable[..., TestClient], make_tiny_bundle: Callable[..., Path], make_colour_image: Images
) -> None:
    client = make_client(bundle=make_tiny_bundle(prevalence=(0.1, 0.4)))
    guarantee = client.post("/predict", content=make_colour_image(1, ANSWERED_BY_A), headers=JPEG).json()[
        "guarantee"
    ]
    assert guarantee["prevalence"] == [0.1, 0.4]
    assert guarantee["prevalence_of"] == ["red"]
    assert guarantee["condition"] == (
        "as long as between 10 % and 40 % of the images are red and each class looks as it did"
    )
    assert guarantee["condition"] in client.get("/health").text
    other = make_client(bundle=make_tiny_bundle())
    answered = other.post("/predict", content=make_colour_image(1, ANSWERED_BY_A), headers=JPEG).json()
    assert answered["guarantee"].keys() == {"kind", "method", "alpha", "delta", "population"}


def test_an_infeasible_certificate_promises_nothing_and_says_why(
    make_client: Callable[..., TestClient], make_tiny_bundle: Callable[..., Path], make_colour_image: Images
) -> None:
    client = make_client(bundle=make_tiny_bundle(feasible=False))
    body = client.post("/predict", content=make_colour_image(1, 1.0), headers=JPEG).json()
    assert (body["decision"], body["reason"]) == ("abstain", "no-promise")
    metrics = client.get("/metrics").text
    label = f"{body['bundle']['name']}:{body['bundle']['version']}"
    assert f'demur_abstentions_total{{bundle="{label}",reason="no-promise"}} 1.0' in metrics
    assert f'demur_bundle_promise{{bundle="{label}"}} 0.0' in metrics
    assert body["guarantee"] is None
    assert body["guarantee_reason"] == "no certificate: 149 more independent labelled images are needed"
    assert body["probability"] > 0.9


def test_a_precision_without_a_certificate_promises_nothing(
    make_client: Callable[..., TestClient], make_tiny_bundle: Callable[..., Path], make_colour_image: Images
) -> None:
    client = make_client(bundle=make_tiny_bundle(precisions=("fp32", "int8")), precision="int8")
    body = client.post("/predict", content=make_colour_image(1, 1.0), headers=JPEG).json()
    assert (body["decision"], body["reason"]) == ("abstain", "no-promise")
    assert body["guarantee"] is None
    assert body["guarantee_reason"] == (
        "not certified here: this is onnxruntime-cpu/int8, the certificates hold on onnxruntime-cpu/fp32"
    )


def test_a_guarantee_in_expectation_cannot_be_read_as_high_probability(
    make_client: Callable[..., TestClient], make_tiny_bundle: Callable[..., Path], make_colour_image: Images
) -> None:
    client = make_client(bundle=make_tiny_bundle(rule="scrc"))
    body = client.post("/predict", content=make_colour_image(1, 1.0), headers=JPEG).json()
    assert body["guarantee"]["kind"] == "expectation"
    assert body["guarantee"]["delta"] is None


def test_three_classes_carry_all_probabilities(
    make_client: Callable[..., TestClient], make_tiny_bundle: Callable[..., Path], make_colour_image: Images
) -> None:
    client = make_client(bundle=make_tiny_bundle(classes=3))
    body = client.post("/predict", content=make_colour_image(2, 1.0), headers=JPEG).json()
    assert (body["label"], body["label_name"]) == (2, "green")
    assert sum(body["probabilities"]) == pytest.approx(1.0)
    assert body["probability"] == body["probabilities"][1]


def test_one_stage(
    make_client: Callable[..., TestClient], make_tiny_bundle: Callable[..., Path], make_colour_image: Images
) -> None:
    client = make_client(bundle=make_tiny_bundle(stages=1))
    decisions = [
        client.post("/predict", content=make_colour_image(1, strength), headers=JPEG).json()
        for strength in (ANSWERED_BY_A, 0.0)
    ]
    assert [(body["decision"], body["stage"]) for body in decisions] == [("answer", "A"), ("abstain", "A")]


@pytest.mark.parametrize("way", ["form", "json"])
def test_a_batch_answers_in_order_and_each_image_for_itself(
    client: TestClient, make_colour_image: Images, way: str
) -> None:
    images = [
        make_colour_image(1, ANSWERED_BY_A),
        b"not an image",
        make_colour_image(0, ANSWERED_BY_B),
        make_colour_image(0, ABSTAINED),
        b"",
    ]
    headers = {"X-Request-Id": "run7"}
    if way == "form":
        answer = client.post("/predict/batch", files=[("files", image) for image in images], headers=headers)
    else:
        encoded = [base64.b64encode(image).decode() for image in images]
        answer = client.post("/predict/batch", json={"images": encoded}, headers=headers)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["request_id"] for result in results] == [f"run7.{index}" for index in range(5)]
    assert [result.get("decision") for result in results] == ["answer", None, "answer", "abstain", None]
    assert [result["problem"]["type"] for result in results if "problem" in result] == [
        "urn:demur:problem:not-an-image",
        "urn:demur:problem:empty-image",
    ]
    assert results[1]["problem"]["field"] == "images[1]"


@pytest.mark.parametrize("path", ["/predict/batch", "/v2/models/tiny/infer"])
def test_an_internal_error_ends_the_whole_request(
    tiny_bundle: Path,
    tmp_path: Path,
    make_colour_image: Images,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    computed: list[int] = []

    def fails_at_the_third(*args: object) -> object:
        computed.append(1)
        if len(computed) == 3:
            raise RuntimeError("an internal error")
        return decide_image(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(predictor, "decide_image", fails_at_the_third)
    images = [base64.b64encode(make_colour_image(1, ANSWERED_BY_A)).decode()] * 12
    tensor = {"name": "image", "datatype": "BYTES", "shape": [12], "data": images}
    app = create_app(
        Settings.read({}, bundle=tiny_bundle, redis_url="off", data_dir=tmp_path, cores=1, batch=1)
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.post(path, json={"images": images, "inputs": [tensor]})
        assert answer.status_code == 500
        # On one core only the next image may have begun when the third failed.
        time.sleep(0.2)
        assert len(computed) <= 4
        assert "demur_decisions_total{" not in client.get("/metrics").text


def test_bad_base64_in_a_batch_refuses_that_image_alone(
    client: TestClient, make_colour_image: Images
) -> None:
    good = base64.b64encode(make_colour_image(1, ANSWERED_BY_A)).decode()
    results = client.post("/predict/batch", json={"images": [good, "%%%", 7]}).json()["results"]
    assert results[0]["decision"] == "answer"
    assert results[1]["problem"]["type"] == "urn:demur:problem:invalid-base64"
    assert results[2]["problem"]["field"] == "images[2]"


def test_a_batch_has_a_limit(make_client: Callable[..., TestClient], make_colour_image: Images) -> None:
    client = make_client(max_batch_images=2)
    image = make_colour_image(1, ANSWERED_BY_A)
    answer = client.post("/predict/batch", files=[("files", image)] * 3)
    assert answer.status_code == 413
    assert (answer.json()["value"], answer.json()["limit"]) == (3, 2)
    assert client.post("/predict/batch", files=[("files", image)] * 2).status_code == 200


def test_nothing_is_computed_after_the_deadline(
    make_client: Callable[..., TestClient], make_colour_image: Images
) -> None:
    client = make_client(deadline=1e-6)
    answer = client.post("/predict", content=make_colour_image(1, ANSWERED_BY_A), headers=JPEG)
    assert answer.status_code == 504
    assert answer.json()["type"] == "urn:demur:problem:deadline-passed"
    assert "demur_decisions_total{" not in client.get("/metrics").text


@pytest.mark.parametrize("deadline", ["0", "-5", "soon", "1.5", "9" * 30])
def test_an_invalid_deadline(client: TestClient, make_colour_image: Images, deadline: str) -> None:
    answer = client.post(
        "/predict", content=make_colour_image(1, 0.9), headers={**JPEG, "X-Deadline-Ms": deadline}
    )
    assert answer.status_code == 422
    assert answer.json()["field"] == "X-Deadline-Ms"
