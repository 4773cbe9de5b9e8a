"""`demur health`: ready or not, in one line and an exit code, whatever is at the address."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fakes.command_line import Demur
from fakes.http_receiver import (
    Behaviour,
    answers,
    hangs,
    hangs_up,
    http_receiver,
    talks_without_end,
    trickles_its_body,
    trickles_its_head,
)
from fakes.service_process import ServiceProcess

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEMUR_HOST", "DEMUR_PORT"):
        monkeypatch.delenv(name, raising=False)


def test_a_service_is_ready_until_it_stops(demur: Demur, tiny_bundle: Path, tmp_path: Path) -> None:
    with ServiceProcess(tiny_bundle, tmp_path, redis_url="off") as service:
        ended = demur("health", service.url)
        assert (ended.code, ended.out, ended.err) == (0, f"ready: {service.url}\n", "")
        service.stop()
        ended = demur("health", service.url)
    assert ended.code == 1
    assert re.fullmatch(rf"not ready: {service.url} cannot be reached: .*refused.*\n", ended.out)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_the_variables_of_the_service_name_it(
    host: str, demur: Demur, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http_receiver(answers(200)) as server:
        monkeypatch.setenv("DEMUR_HOST", host)
        monkeypatch.setenv("DEMUR_PORT", str(urlsplit(server.url).port))
        ended = demur("health")
        assert (ended.code, ended.out) == (0, f"ready: {server.url}\n")
        assert [request.path for request in server.requests] == ["/readyz"]


def test_a_prefix_stands_before_the_route(demur: Demur) -> None:
    with http_receiver(answers(200)) as server:
        assert demur("health", f"{server.url}/camera/").code == 0
        assert [request.path for request in server.requests] == ["/camera/readyz"]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (answers(503, {"detail": "it is\nstopping\x1b[2J"}), r"answers 503: it is stopping \[2J"),
        (answers(404, "<html>no</html>"), "answers 404"),
        (answers(500, '["detail"]'), "answers 500"),
        (answers(301, "", Location=NOWHERE), "answers 301"),
        (hangs_up, "cannot be reached: .+"),
        (hangs, r"(has not answered within 0\.5 s|cannot be reached: timed out)"),
        (trickles_its_head, r"has not answered within 0\.5 s"),
        (trickles_its_body, r"has not answered within 0\.5 s"),
    ],
)
def test_everything_else_is_not_ready(behaviour: Behaviour, reason: str, demur: Demur) -> None:
    with http_receiver(behaviour) as server:
        ended = demur(
            "health", server.url, "--timeout=0.5" if "0.5" in reason.replace("\\", "") else "--timeout=60"
        )
        assert (ended.code, ended.err) == (1, "")
        assert re.fullmatch(f"not ready: {server.url} {reason}\n", ended.out)


def test_an_endless_answer_is_not_read(demur: Demur) -> None:
    with http_receiver(talks_without_end) as server:
        assert demur("health", server.url).code == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://localhost",
        "http://",
        "http://:80",
        "http://h:0",
        "http://h:99999",
        "http://[::1",
    ],
)
def test_what_is_no_url_is_a_mistake(url: str, demur: Demur) -> None:
    ended = demur("health", url)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"demur: URL is {url!r}; it must be like http://")


@pytest.mark.parametrize(
    "url", ["http://no host", "http://a..b:80", "http://h/\N{SNOWMAN}", "http://[::1%x]:1"]
)
def test_an_address_that_nothing_has_is_not_ready(url: str, demur: Demur) -> None:
    ended = demur("health", url)
    assert (ended.code, ended.err) == (1, "")
    assert ended.out.startswith(f"not ready: {url} ")


def test_a_port_that_is_none_names_its_variable(demur: Demur, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMUR_PORT", "many")
    ended = demur("health")
    assert ended.code == 2
    assert ended.err.startswith("demur: the address of DEMUR_HOST and DEMUR_PORT is 'http://127.0.0.1:many'")


def test_it_loads_no_library_of_arrays_or_of_the_service() -> None:
    """It runs every few seconds beside the service."""
    ask = "from demur.commands.health import look; look('http://127.0.0.1:1', 5)"
    code = f"import sys; {ask}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "pydantic", "fastapi", "rich", "onnxruntime"} & set(done.stdout.split())
