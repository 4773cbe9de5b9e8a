"""Logs of a whole service: what its workers write at once, and what never appears in them."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fakes.log_secrets import leaks, log_files, secrets_of
from fakes.service_process import ServiceProcess

from service.logs.file import older

SECRETS = {
    "admin_token": "the-token-of-the-private-port",
    "feedback_tokens": "anna=the-first-token-of-labels,tool=the-second-token-of-labels",
    "redis_url": "redis://demur:the-password-of-the-store@127.0.0.1:1/0",
}


def test_workers_lose_no_line_while_files_change_and_write_no_secret(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    file = tmp_path / "service" / "here.jsonl"
    ids = [f"request-{number}" for number in range(600)]
    service = ServiceProcess(
        tiny_bundle,
        tmp_path / "service",
        **SECRETS,
        workers=2,
        cores=1,
        admin_port=0,
        log_file=str(file),
        log_bytes=2**16,
        log_files=50,
    )
    with service, service.client(every_worker=True) as client:

        def send(request_id: str) -> int:
            return client.get(f"/{'x' * 400}", headers={"X-Request-Id": request_id}).status_code

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(send, ids)) == {404}
        label = {"request_id": "request-1", "label": 1}
        for token in ("the-first-token-of-labels", "a-wrong-token"):
            client.post("/feedback", json=label, headers={"Authorization": f"Bearer {token}"})
        assert service.stop() == 0
    files = [older(file, number) for number in range(49, 0, -1) if older(file, number).exists()]
    assert len(files) >= 4
    lines = [json.loads(line) for one in [*files, file] for line in one.read_text().splitlines()]
    written = Counter(line["request_id"] for line in lines if line["event"] == "request")
    assert {request_id: written[request_id] for request_id in ids} == dict.fromkeys(ids, 1)
    assert {"service_started", "store_unreachable", "service_stopped"} <= {line["event"] for line in lines}


def test_a_secret_in_any_log_is_found(tmp_path: Path) -> None:
    alerts = tmp_path / "alerts.yaml"
    alerts.write_text("url: https://example.org/${HOOK}\n")
    secrets = secrets_of({**SECRETS, "alerts": str(alerts)}, {"HOOK": "the-key-of-a-hook"})
    assert secrets == {
        "the-token-of-the-private-port",
        "the-first-token-of-labels",
        "the-second-token-of-labels",
        "the-password-of-the-store",
        "the-key-of-a-hook",
    }
    for number, secret in enumerate(sorted(secrets)):
        folder = tmp_path / str(number) / "valkey"
        folder.mkdir(parents=True)
        for name in ("valkey.log", "service.jsonl.12", "log-1.jsonl"):
            (folder / name).write_text(f'{{"event": "x"}}\n{{"token": "{secret}"}}\n')
    found = leaks(log_files(tmp_path), secrets)
    assert len(found) == 3 * len(secrets)
    assert all(line.endswith('line 2: {"token": "***"}') for line in found)
