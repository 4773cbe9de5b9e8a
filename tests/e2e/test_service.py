"""The whole service over a real socket: predictions, labels, rolling metrics, stops and restarts."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from fakes.service_process import ServiceProcess, alive
from fakes.waiting import eventually
from river import metrics, utils

Images = Callable[..., bytes]
JPEG = {"Content-Type": "image/jpeg"}


def predict(client: httpx.Client, image: bytes, request_id: str) -> dict[str, object]:
    answer = client.post("/predict", content=image, headers={**JPEG, "X-Request-Id": request_id})
    assert answer.status_code == 200, answer.text
    body: dict[str, object] = answer.json()
    return body


def delivered(client: httpx.Client) -> bool:
    answer = client.get("/rolling")
    return answer.status_code == 200 and answer.json()["events_waiting"] == 0


def recount(pairs: list[tuple[int, int]]) -> tuple[float, float, float]:
    """(MCC@100, ACC@10, reward) of (predicted, label) in prediction order, by river."""
    rolling = utils.Rolling(metrics.MCC, window_size=100)
    for guess, label in pairs:
        rolling.update(label, guess)
    accuracy = float(np.mean([guess == label for guess, label in pairs[-10:]]))
    mcc = rolling.get()
    return mcc, accuracy, (0.5 * max(0.0, mcc) + 0.5 * accuracy) ** 3


def test_rolling_metrics_under_every_kind_of_label(
    make_tiny_bundle: Callable[..., Path], tmp_path: Path, make_colour_image: Images
) -> None:
    """Late, early, repeated, corrected and unordered labels against an independent recount; and a restart."""
    rng = np.random.default_rng(5)
    count = 130
    roadwork = make_tiny_bundle(named_task="roadwork")
    ids = [f"img-{number}" for number in range(count)]
    true = {own: int(rng.random() < 0.5) for own in ids}
    early = set(rng.choice(ids, 20, replace=False))
    unlabelled = set(rng.choice(sorted(set(ids) - early), 15, replace=False))
    corrected = set(rng.choice(sorted(set(ids) - early - unlabelled), 15, replace=False))
    with ServiceProcess(roadwork, tmp_path / "service") as service, service.client() as client:

        def label(own: str, value: int) -> None:
            answer = client.post("/feedback", json={"request_id": own, "label": value})
            assert answer.status_code == 202

        for own in early:
            label(own, true[own])
        bodies = {}
        for own in ids:
            shown = true[own] if rng.random() < 0.85 else 1 - true[own]
            strength = float(rng.choice([0.9, 0.4, 0.05]))
            bodies[own] = predict(client, make_colour_image(shown, strength, int(rng.integers(99))), own)
        late = [own for own in ids if own not in early | unlabelled]
        rng.shuffle(late)
        for own in late:
            label(own, 1 - true[own] if own in corrected else true[own])
        for own in rng.permutation(late):
            # The second time, with the correction, if there is one.
            label(str(own), true[str(own)])
        label("never-predicted", 1)
        eventually(lambda: delivered(client))
        known = [own for own in ids if own not in unlabelled]
        forced = [(int(float(str(bodies[own]["probability"])) > 0.5), true[own]) for own in known]
        answered = [
            (int(str(bodies[own]["label"])), true[own])
            for own in known
            if bodies[own]["decision"] == "answer"
        ]
        assert len(forced) > 100
        assert 30 < len(answered) < len(forced)
        rolling = client.get("/rolling").json()
        for series, pairs in (("all", forced), ("answered", answered)):
            mcc, accuracy, reward = recount(pairs)
            assert rolling[series]["mcc"]["mcc"] == pytest.approx(mcc, abs=1e-12)
            assert rolling[series]["acc"]["accuracy"] == pytest.approx(accuracy)
            assert rolling[series]["reward"] == pytest.approx(reward, abs=1e-12)
        assert (rolling["predictions"], rolling["labelled"]) == (count, len(known))
        scrape = client.get("/metrics").text
        assert 'demur_events_delivered_total{kind="feedback",outcome="corrected"} 15.0' in scrape
        assert service.stop() == 0
    with ServiceProcess(roadwork, tmp_path / "service") as service, service.client() as client:
        eventually(lambda: client.get("/health").json()["status"] == "ok")
        after = client.get("/rolling").json()
        assert after["all"] == rolling["all"]
        assert after["answered"] == rolling["answered"]


def test_the_store_dies_and_comes_back(tiny_bundle: Path, tmp_path: Path, make_colour_image: Images) -> None:
    """A real store by URL, so that only the test restarts it."""
    from monitoring.store.embedded_valkey import EmbeddedValkey

    folder = tmp_path / "valkey"
    image = make_colour_image(1, 0.9)
    valkey = EmbeddedValkey(folder).__enter__()
    try:
        with (
            ServiceProcess(tiny_bundle, tmp_path / "service", redis_url=valkey.url) as service,
            service.client() as client,
        ):
            predict(client, image, "before")
            client.post("/feedback", json={"request_id": "before", "label": 1})
            eventually(lambda: client.get("/rolling").json().get("labelled") == 1)
            valkey.close()
            eventually(lambda: client.get("/health").json()["status"] == "degraded")
            for number in range(40):
                predict(client, image, f"during-{number}")
                assert (
                    client.post("/feedback", json={"request_id": f"during-{number}", "label": 0}).status_code
                    == 202
                )
            assert client.get("/readyz").status_code == 200
            assert client.get("/rolling").status_code == 503
            assert client.get("/health").json()["store"] == {"state": "down", "events_waiting": 80}
            assert "demur_redis_up 0.0" in client.get("/metrics").text
            valkey = EmbeddedValkey(folder).__enter__()
            eventually(lambda: client.get("/health").json()["status"] == "ok" and delivered(client))
            rolling = client.get("/rolling").json()
            assert (rolling["predictions"], rolling["labelled"]) == (41, 41)
            assert rolling["all"]["acc"]["accuracy"] == 0.0
            assert rolling["all"]["mcc"]["cells"] == [
                {"predicted": 1, "label": 0, "count": 40},
                {"predicted": 1, "label": 1, "count": 1},
            ]
    finally:
        valkey.close()


def test_a_killed_embedded_store_is_restarted(
    tiny_bundle: Path, tmp_path: Path, make_colour_image: Images
) -> None:
    image = make_colour_image(1, 0.9)
    with ServiceProcess(tiny_bundle, tmp_path / "service") as service, service.client() as client:
        (store,) = service.descendants()
        os.kill(store, signal.SIGKILL)
        for number in range(20):
            predict(client, image, f"r{number}")
        eventually(lambda: delivered(client) and client.get("/rolling").json()["predictions"] == 20)


def test_a_client_that_connects_before_the_port_closes_has_time_for_its_request(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    """On a busy machine a client may be unable to send for longer than the drain lasts."""
    with ServiceProcess(tiny_bundle, tmp_path / "service", drain=0.2) as service:
        stopped: list[int] = []
        stop = threading.Thread(target=lambda: stopped.append(service.stop()))
        with socket.create_connection(service.address, timeout=150) as late:
            stop.start()
            time.sleep(0.7)
            late.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while chunk := late.recv(65536):
                answer += chunk
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer
        stop.join()
        assert stopped == [0]


@pytest.mark.parametrize("workers", [1, 2])
def test_stopping_under_load_loses_no_request_and_leaves_no_orphan(
    tiny_bundle: Path, tmp_path: Path, make_colour_image: Images, workers: int
) -> None:
    image = make_colour_image(1, 0.4, size=(600, 800))
    outcomes: Counter[str] = Counter()
    answered: list[str] = []
    stopping = threading.Event()

    def load(url: str, number: int) -> None:
        sent = 0
        with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
            while True:
                own = f"c{number}-{sent}"
                sent += 1
                try:
                    answer = client.post("/predict", content=image, headers={**JPEG, "X-Request-Id": own})
                except httpx.ConnectError:
                    # The port is closed: the request was not accepted.
                    assert stopping.is_set()
                    return
                except httpx.HTTPError as error:
                    outcomes[type(error).__name__] += 1
                    return
                outcomes[str(answer.status_code)] += 1
                answered.append(own)

    with ServiceProcess(tiny_bundle, tmp_path / "service", workers=workers) as service:
        clients = [threading.Thread(target=load, args=(service.url, number)) for number in range(16)]
        for client in clients:
            client.start()
        eventually(lambda: outcomes["200"] > 100)
        below = service.descendants()
        assert len(below) >= (1 if workers == 1 else 3)
        stopping.set()
        assert service.stop() == 0
        for client in clients:
            client.join()
        assert set(outcomes) == {"200"}, outcomes
        eventually(lambda: not any(alive(pid) for pid in below))
    # Every event was delivered before the end.
    with ServiceProcess(tiny_bundle, tmp_path / "service") as service, service.client() as again:
        assert again.get("/rolling").json()["predictions"] == len(answered)


def test_stopping_takes_readiness_down_first(
    tiny_bundle: Path, tmp_path: Path, make_colour_image: Images
) -> None:
    settings = {"drain": 600, "redis_url": "off"}
    with ServiceProcess(tiny_bundle, tmp_path / "service", **settings) as service, service.client() as client:
        assert client.get("/readyz").status_code == 200
        service.process.terminate()
        eventually(lambda: client.get("/readyz").status_code == 503)
        # It still serves clients that have not noticed, with one answer per connection.
        answer = client.post("/predict", content=make_colour_image(1, 0.9), headers=JPEG)
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert client.get("/health").json()["status"] == "draining"
        assert client.get("/livez").status_code == 200
        # It waits for them for ten minutes, which no test does.
        service.process.kill()
        service.process.wait()


def test_the_service_loads_no_training_library_and_logs_json(
    tiny_bundle: Path, tmp_path: Path, make_colour_image: Images
) -> None:
    with ServiceProcess(tiny_bundle, tmp_path / "service") as service, service.client() as client:
        predict(client, make_colour_image(1, 0.9), "the-first")
        client.post("/predict", content=b"no image", headers={**JPEG, "X-Request-Id": "the-second"})
        client.get("/rolling")
        client.get("/metrics")
        assert service.stop() == 0
        assert "service.app" in service.modules
        heavy = {"torch", "transformers", "peft", "pyarrow", "pandas", "matplotlib", "trainer", "scipy"}
        assert heavy.isdisjoint(service.modules)
        lines = {line["request_id"]: line for line in service.logs() if line["event"] == "request"}
        assert lines["the-first"]["status"] == 200
        assert lines["the-second"]["status"] == 400
        assert lines["the-first"]["path"] == "/predict"
        assert {"timestamp", "level", "duration_ms"} <= lines["the-first"].keys()


def test_two_workers_are_one_service(tiny_bundle: Path, tmp_path: Path, make_colour_image: Images) -> None:
    image = make_colour_image(1, 0.9)
    with ServiceProcess(tiny_bundle, tmp_path / "service", workers=2) as service:

        def work(number: int) -> None:
            for index in range(20):
                # One connection per request, so that both workers get some.
                with service.client() as client:
                    predict(client, image, f"r{number}-{index}")
                    client.post("/feedback", json={"request_id": f"r{number}-{index}", "label": 1})

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with service.client() as client:
            eventually(lambda: client.get("/rolling").json()["labelled"] == 80)
            lines = client.get("/metrics").text.splitlines()
            decided = [line for line in lines if line.startswith("demur_decisions_total{")]
            assert [float(line.rsplit(" ", 1)[1]) for line in decided] == [80.0]
            # A worker that dies is restarted, and the others go on meanwhile.
            workers = [pid for pid in service.descendants() if b"spawn_main" in _command(pid)]
            assert len(workers) == 2
            os.kill(workers[0], signal.SIGKILL)
            eventually(
                lambda: (
                    len([p for p in service.descendants() if b"spawn_main" in _command(p)]) == 2
                    and workers[0] not in service.descendants()
                )
            )
        with service.client() as client:
            eventually(lambda: client.get("/health").json()["status"] == "ok")
            predict(client, image, "after")


def test_the_workers_share_a_burst_of_clients(tiny_bundle: Path, tmp_path: Path) -> None:
    with ServiceProcess(tiny_bundle, tmp_path / "service", workers=2) as service, ExitStack() as stack:
        address = urlsplit(service.url)
        workers = [pid for pid in service.descendants() if b"spawn_main" in _command(pid)]
        before = [_sockets(pid) for pid in workers]
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        for _ in range(400):
            client = socket.create_connection((str(address.hostname), int(address.port or 0)))
            stack.enter_context(client)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)

        def taken() -> list[int]:
            return [_sockets(pid) - held for pid, held in zip(workers, before, strict=True)]

        eventually(lambda: sum(taken()) >= 395)  # other sockets come and go
        assert min(taken()) >= 20


def test_workers_do_not_outlive_a_parent_that_is_killed(tiny_bundle: Path, tmp_path: Path) -> None:
    with ServiceProcess(tiny_bundle, tmp_path / "service", workers=2) as service:
        below = service.descendants()
        service.process.kill()
        service.process.wait()
        eventually(lambda: not any(alive(pid) for pid in below))


def test_an_embedded_store_in_kubernetes_is_said(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the log and by every worker; not outside of Kubernetes, and not with a store that was named."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with ServiceProcess(tiny_bundle, tmp_path / "pod", workers=2) as service:
        with service.client() as client:
            note = client.get("/health").json()["store"]["note"]
        (line,) = [line for line in service.logs() if line["event"] == "embedded_store_in_kubernetes"]
        assert (line["level"], line["note"]) == ("warning", note)
        assert "DEMUR_REDIS_URL" in note
        store = f"unix://{tmp_path / 'pod' / 'valkey' / 'valkey.sock'}"
        with (
            ServiceProcess(tiny_bundle, tmp_path / "other", redis_url=store) as other,
            other.client() as client,
        ):
            assert "note" not in client.get("/health").json()["store"]
            assert "embedded_store_in_kubernetes" not in {line["event"] for line in other.logs()}
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with ServiceProcess(tiny_bundle, tmp_path / "laptop") as service, service.client() as client:
        assert "note" not in client.get("/health").json()["store"]


def test_a_changed_bundle_is_not_served(make_tiny_bundle: Callable[..., Path], tmp_path: Path) -> None:
    bundle = make_tiny_bundle()
    (bundle / "README.md").write_text("something else")
    service = ServiceProcess(bundle, tmp_path / "service", workers=2)
    with pytest.raises(AssertionError, match=r"README\.md"), service:
        pass
    assert service.process.returncode != 0


def _sockets(pid: int) -> int:
    found = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found += os.readlink(file).startswith("socket:")
    return found


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
