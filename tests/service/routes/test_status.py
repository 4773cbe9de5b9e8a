"""Feedback, rolling metrics, health and metrics, in one process."""

from __future__ import annotations

import math
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from fakes.tiny_bundle import ABSTAINED, ANSWERED_BY_A
from fakes.waiting import eventually
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from bundle.manifest import BundleTampered
from monitoring.metrics import names as metric_names
from monitoring.store.embedded_valkey import EmbeddedValkey

Images = Callable[..., bytes]
JPEG = {"Content-Type": "image/jpeg"}


def samples(client: TestClient) -> dict[str, float]:
    """`name{label=value,...}` -> value"""
    return {
        sample.name + "".join(sorted(f",{k}={v}" for k, v in sample.labels.items())): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }


def test_labels_reach_the_rolling_metrics(monitored: TestClient, make_colour_image: Images) -> None:
    labels = {"a": (1, 1), "b": (1, 0), "c": (0, 0)}
    for request_id, (shown, true) in labels.items():
        # The label of "b" comes before its prediction.
        if request_id == "b":
            assert monitored.post("/feedback", json={"request_id": "b", "label": true}).status_code == 202
        monitored.post(
            "/predict",
            content=make_colour_image(shown, ANSWERED_BY_A),
            headers={**JPEG, "X-Request-Id": request_id},
        )
        if request_id != "b":
            monitored.post("/feedback", json={"request_id": request_id, "label": true})
    eventually(lambda: monitored.get("/rolling").json()["labelled"] == 3)
    body = monitored.get("/rolling").json()
    assert body["all"]["acc"]["accuracy"] == pytest.approx(2 / 3)
    assert body["all"]["mcc"]["mcc"] == pytest.approx(0.5)
    assert body["answered"]["mcc"]["n"] == 3
    assert body["label_coverage"] == 1.0
    assert body["events_waiting"] == 0


@pytest.mark.parametrize("named_task", ["roadwork", None])
def test_the_reward_is_shown_for_bundles_of_its_task_alone(
    named_task: str | None,
    make_client: Callable[..., TestClient],
    make_tiny_bundle: Callable[..., Path],
    make_colour_image: Images,
    valkey_url: str,
) -> None:
    bundle = make_tiny_bundle(named_task=named_task)
    client = make_client(bundle=bundle, redis_url=valkey_url, model=f"m-{uuid.uuid4().hex}")
    image = make_colour_image(1, ANSWERED_BY_A)
    client.post("/predict", content=image, headers={**JPEG, "X-Request-Id": "a"})
    client.post("/feedback", json={"request_id": "a", "label": 1})
    eventually(lambda: client.get("/rolling").json()["labelled"] == 1)
    rolling = client.get("/rolling").json()
    assert [("reward" in rolling[series]) for series in ("all", "answered")] == 2 * [named_task == "roadwork"]
    eventually(lambda: "demur_rolling_acc{" in client.get("/metrics").text)
    assert ("demur_rolling_reward{" in client.get("/metrics").text) == (named_task == "roadwork")


def test_answered_predictions_are_a_separate_series(monitored: TestClient, make_colour_image: Images) -> None:
    for request_id, strength in (("sure", ANSWERED_BY_A), ("unsure", ABSTAINED)):
        monitored.post(
            "/predict", content=make_colour_image(1, strength), headers={**JPEG, "X-Request-Id": request_id}
        )
        monitored.post("/feedback", json={"request_id": request_id, "label": 1})
    eventually(lambda: monitored.get("/rolling").json()["labelled"] == 2)
    body = monitored.get("/rolling").json()
    assert (body["all"]["acc"]["n"], body["answered"]["acc"]["n"]) == (2, 1)


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/livez", "/readyz", "/health", "/metrics", "/v2", "/v2/health/ready"]
)
def test_head_is_answered_like_get_without_a_body(client: TestClient, path: str) -> None:
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == client.get(path).headers["content-type"]
    route = f'method="HEAD",route="{path}",status="200"'
    assert route in client.get("/metrics").text


def test_head_is_refused_where_get_is(client: TestClient) -> None:
    assert client.head("/predict").status_code == 405
    assert client.head("/nothing").status_code == 404


@pytest.mark.parametrize("label", [1, 1.0, "red"])
def test_a_label_is_an_index_or_the_name_of_a_class(
    monitored: TestClient, make_colour_image: Images, label: object
) -> None:
    image = make_colour_image(1, ANSWERED_BY_A)
    monitored.post("/predict", content=image, headers={**JPEG, "X-Request-Id": "a"})
    assert monitored.post("/feedback", json={"request_id": "a", "label": label}).status_code == 202
    eventually(lambda: monitored.get("/rolling").json()["labelled"] == 1)
    assert monitored.get("/rolling").json()["all"]["acc"]["accuracy"] == 1.0


def test_the_store_and_health_agree_when_writes_are_refused(
    make_client: Callable[..., TestClient], make_colour_image: Images, tmp_path: Path
) -> None:
    with EmbeddedValkey(tmp_path / "valkey") as server, redis.Redis.from_url(server.url) as store:
        client = make_client(redis_url=server.url, model="agree")
        eventually(lambda: samples(client)["demur_redis_up"] == 1)
        # Reads go on, writes do not.
        store.config_set("min-replicas-to-write", 1)
        client.post("/predict", content=make_colour_image(1, ANSWERED_BY_A), headers=JPEG)
        eventually(lambda: client.get("/health").json()["store"]["state"] == "down")
        assert samples(client)["demur_redis_up"] == 0
        store.config_set("min-replicas-to-write", 0)
        eventually(lambda: client.get("/health").json()["store"]["state"] == "up")
        assert samples(client)["demur_redis_up"] == 1


def test_metrics_do_not_wait_for_a_store_that_hangs(make_client: Callable[..., TestClient]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        client = make_client(redis_url=url, redis_timeout=10.0)
        for _ in range(3):
            began = time.perf_counter()
            assert client.get("/metrics").status_code == 200
            # A tenth of a second for the store, where its own limit is ten.
            assert time.perf_counter() - began < 9.0


def test_feedback_confirms_the_label(monitored: TestClient) -> None:
    answer = monitored.post("/feedback", json={"request_id": "never-seen", "label": 0})
    assert (answer.status_code, answer.json()) == (202, {"request_id": "never-seen", "status": "accepted"})


def test_without_a_store_it_answers_and_reports_that_it_is_degraded(
    client: TestClient, make_colour_image: Images
) -> None:
    assert client.post("/predict", content=make_colour_image(1, 0.9), headers=JPEG).status_code == 200
    assert client.get("/readyz").status_code == 200
    health = client.get("/health").json()
    assert (health["status"], health["store"]["state"]) == ("degraded", "off")
    for answer in (client.get("/rolling"), client.post("/feedback", json={"request_id": "a", "label": 1})):
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:demur:problem:store-unavailable"
        assert answer.headers["retry-after"]
    assert math.isnan(samples(client)["demur_redis_up"])


def test_an_unreachable_store(make_client: Callable[..., TestClient], make_colour_image: Images) -> None:
    client = make_client(
        redis_url="redis://127.0.0.1:1", redis_timeout=0.2, events_kept=2, stop_timeout=0.2, event_log=False
    )
    for _ in range(3):
        assert client.post("/predict", content=make_colour_image(1, 0.9), headers=JPEG).status_code == 200
    eventually(lambda: client.get("/health").json()["store"] == {"state": "down", "events_waiting": 2})
    assert client.get("/health").json()["status"] == "degraded"
    assert client.get("/rolling").status_code == 503
    # A label that cannot be kept is not accepted.
    assert client.post("/feedback", json={"request_id": "a", "label": 1}).status_code == 503
    seen = samples(client)
    assert seen["demur_events_dropped_total,kind=prediction"] == 1
    assert seen["demur_events_dropped_total,kind=feedback"] == 1
    assert seen["demur_redis_up"] == 0


def test_with_a_log_an_unreachable_store_costs_no_event(
    make_client: Callable[..., TestClient], make_colour_image: Images
) -> None:
    client = make_client(redis_url="redis://127.0.0.1:1", redis_timeout=0.2, events_kept=2, stop_timeout=0.2)
    eventually(lambda: client.get("/health").json()["event_log"] == "ok")
    for number in range(1, 4):
        headers = {**JPEG, "X-Request-Id": f"r{number}"}
        image = make_colour_image(1, 0.9)
        assert client.post("/predict", content=image, headers=headers).status_code == 200
        assert client.post("/feedback", json={"request_id": f"r{number}", "label": 1}).status_code == 202
        # Far more than fit into memory, but the log takes them.
        eventually(lambda: samples(client)["demur_event_log_up"] == 1)
        eventually(
            lambda number=number: client.get("/health").json()["store"]["events_waiting"] == 2 * number
        )
    eventually(lambda: client.get("/health").json()["store"] == {"state": "down", "events_waiting": 6})
    assert client.get("/health").json()["status"] == "degraded"
    assert samples(client)["demur_data_available_bytes"] > 0
    assert samples(client)["demur_events_dropped_total,kind=prediction"] == 0
    assert samples(client)["demur_events_dropped_total,kind=feedback"] == 0


def test_health_describes_the_bundle(monitored: TestClient) -> None:
    eventually(lambda: monitored.get("/health").json()["status"] == "ok")
    body = monitored.get("/health").json()
    assert body["bundle"]["name"] == "tiny"
    assert body["engine"] == "onnxruntime-cpu/fp32"
    assert body["guarantee"]["kind"] == "pac"
    assert body["promise"].startswith("With 95 % confidence, at most 1 %")
    assert body["promise"] == f"{body['claim']}: {body['evidence']}"
    assert body["queue"]["limit"] == 128
    assert monitored.get("/livez").json() == {"status": "alive"}
    assert monitored.get("/readyz").json() == {"status": "ready"}


def test_metrics_count_answers_and_refusals(monitored: TestClient, make_colour_image: Images) -> None:
    version = monitored.get("/health").json()["bundle"]["version"]
    for strength in (ANSWERED_BY_A, ANSWERED_BY_A, ABSTAINED):
        monitored.post("/predict", content=make_colour_image(1, strength), headers=JPEG)
    monitored.post("/predict", content=b"no image", headers=JPEG)
    monitored.get("/a/path/that/nobody/knows")
    eventually(lambda: samples(monitored).get("demur_redis_up") == 1)
    seen = samples(monitored)
    bundle = f"bundle=tiny:{version}"
    assert seen[f"demur_decisions_total,{bundle},decision=answer,stage=A"] == 2
    assert seen[f"demur_decisions_total,{bundle},decision=abstain,stage=B"] == 1
    assert seen["demur_refusals_total,problem=not-an-image"] == 1
    assert seen["demur_inference_duration_seconds_count,step=stage_a"] == 3
    assert seen["demur_inference_duration_seconds_count,step=stage_b"] == 1
    assert seen["http_server_request_duration_seconds_count,method=POST,route=/predict,status=200"] == 3
    assert seen["http_server_request_duration_seconds_count,method=GET,route=unmatched,status=404"] == 1
    assert seen[f"demur_rolling_mcc_undefined,{bundle},series=all"] == 1


def test_every_metric_is_listed_in_the_names(monitored: TestClient, make_colour_image: Images) -> None:
    monitored.post("/predict", content=make_colour_image(1, 0.9), headers=JPEG)
    named = {name.removesuffix("_total") for name in metric_names.by_name()}
    shown = {family.name for family in text_string_to_metric_families(monitored.get("/metrics").text)}
    of_experiments = {name for name in metric_names.by_name() if name.startswith("demur_experiment")}
    of_fleets = {
        metric_names.CHAMPION_GENERATION.name,
        metric_names.FLEET_STALE.name,
        metric_names.PROMOTION_PHASE.name,
    }
    of_parents = {metric_names.ADMIN_REFUSALS.name, metric_names.WORKERS_LOST.name}
    in_the_parent = {*of_parents, *of_experiments, *of_fleets}
    assert shown == named - {name.removesuffix("_total") for name in in_the_parent}


def test_an_internal_error_is_a_problem_document(
    client: TestClient,
    make_colour_image: Images,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr("service.answering.prediction_body", broken)
    answer = client.post(
        "/predict", content=make_colour_image(1, 0.9), headers={**JPEG, "X-Request-Id": "r1"}
    )
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:demur:problem:internal-error"
    assert "broken on purpose" not in answer.text
    assert answer.json()["request_id"] == "r1"


def test_a_changed_bundle_ends_the_start(
    make_client: Callable[..., TestClient], make_tiny_bundle: Callable[..., Path]
) -> None:
    bundle = make_tiny_bundle()
    (bundle / "README.md").write_text("something else")
    with pytest.raises(BundleTampered, match=r"README\.md"):
        make_client(bundle=bundle)


def test_openapi_describes_every_route(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    routes = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert routes >= {
        ("post", "/predict"),
        ("post", "/predict/batch"),
        ("post", "/feedback"),
        ("get", "/rolling"),
        ("get", "/health"),
        ("get", "/livez"),
        ("get", "/readyz"),
        ("get", "/metrics"),
    }
    examples = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"][
        "examples"
    ]
    assert set(examples) == {"answered", "abstained"}


def test_the_documented_fields_are_those_of_an_answer(client: TestClient, make_colour_image: Images) -> None:
    document = client.get("/openapi.json").json()
    schema = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"][
        "schema"
    ]
    body = client.post("/predict", content=make_colour_image(1, 0.9), headers=JPEG).json()
    assert set(body) == set(schema["required"])
    assert set(body) <= set(schema["properties"])
