"""`demur serve` on a terminal: what it says, that it is true, and where the log goes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.terminal import Terminal
from fakes.waiting import eventually

from demur.commands.serve import banner
from service.process.serving import ServedBundle, Serving
from service.settings import Settings

DEMUR = Path(sys.executable).with_name("demur")
END = "Ctrl-C stops it."
BUNDLE = ServedBundle(
    name="signs",
    version="0f3c9a2be47d5168",
    stages=2,
    engine="onnxruntime-cpu/fp32",
    promise="With 95 % confidence, at most 1 % of the answered images are answered wrongly: 8 wrong among "
    "1446 answered of 1500 independent calibration units, coverage 96.4 %.",
    may_answer=True,
)


def serving(bundle: ServedBundle = BUNDLE, **changes: Any) -> Serving:
    given = {"url": "http://127.0.0.1:8000", "everywhere": False, "admin_url": None, **changes}
    return Serving(bundle=bundle, **given)


def said(serving: Serving, image: str = "photo.jpg", width: int = 100) -> str:
    settings = Settings(bundle=Path("bundle"), log_format="text")
    return "\n".join(banner(serving, settings, Path(image), width))


def logged(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestBanner:
    def test_it_says_where_what_and_with_which_promise(self) -> None:
        text = said(serving())
        assert "Serving signs 0f3c9a2be47d5168" in text
        assert " ".join(text.split()).count(BUNDLE.promise) == 1
        assert "stage A, then stage B" in text
        for line in (
            "  Page       http://127.0.0.1:8000/",
            "  API        http://127.0.0.1:8000/docs",
            "  Log        demur-data/service.jsonl (JSON lines; warnings and errors also come here)",
        ):
            assert line in text.splitlines()
        assert "Changes" not in text
        assert "Network" not in text
        assert text.endswith(END)

    def test_the_promise_keeps_to_the_width_and_commands_stay_whole(self) -> None:
        lines = said(serving(), width=60).splitlines()
        assert all(len(line) <= 60 for line in lines if not re.search("http|JSON", line))
        (request,) = [line for line in lines if "curl" in line]
        assert request.endswith("http://127.0.0.1:8000/predict")

    def test_a_bundle_that_may_not_answer_says_so_first(self) -> None:
        reason = "No promise of at most 1 % wrong answers can be made: 275 more labelled images."
        bundle = ServedBundle("signs", "0f", 1, "openvino/bf16", reason, may_answer=False)
        text = " ".join(said(serving(bundle)).split())
        assert (
            "Promise This bundle may not answer at all: every image is left to a person. No promise" in text
        )
        assert "one stage, on openvino/bf16" in text

    def test_further_addresses(self) -> None:
        text = said(serving(everywhere=True, admin_url="http://127.0.0.1:8001"))
        assert "every address of this machine, port 8000" in text
        assert "http://127.0.0.1:8001, with the token of DEMUR_ADMIN_TOKEN" in text

    def test_a_store_that_needs_a_word_is_said(self) -> None:
        assert "Store" not in said(serving())
        text = " ".join(said(serving(store_note="each pod counts its own part")).split())
        assert "Store Warning: each pod counts its own part." in text

    @pytest.mark.parametrize(
        ("image", "kind"), [("my photos/a b's.png", "image/png"), ("x.unknown", "application/octet-stream")]
    )
    def test_the_request_can_be_pasted_into_a_shell(self, image: str, kind: str) -> None:
        text = said(serving(url="http://[::1]:8000"), image)
        (request,) = [line for line in text.splitlines() if "curl" in line]
        words = shlex.split(request.partition("Try it")[2])
        assert words[words.index("-H") + 1] == f"Content-Type: {kind}"
        assert words[words.index("--data-binary") + 1] == f"@{image}"
        assert words[-1] == "http://[::1]:8000/predict"


class TestTerminal:
    def test_the_start_is_a_few_lines_that_are_true(self, tiny_bundle: Path, tmp_path: Path) -> None:
        command = (DEMUR, "serve", "--bundle", tiny_bundle, "--port", "0", "--host", "0.0.0.0")
        with Terminal(*command, folder=tmp_path) as terminal:
            text = terminal.read_until(END)
            assert "{" not in text
            assert len(text.splitlines()) < 20
            page = re.search(r"Page +(http://127\.0\.0\.1:\d+/)", text)
            assert page is not None
            assert "<title>demur</title>" in httpx.get(page[1], trust_env=False).text
            assert httpx.get(f"{page[1]}docs", trust_env=False).status_code == 200
            promise = httpx.get(f"{page[1]}health", trust_env=False).json()["promise"]
            assert promise in " ".join(text.split())
            answer = send(text.partition("Try it")[2].splitlines()[0], tmp_path)
            assert answer["decision"] in ("answer", "abstain")
            log = tmp_path / "demur-data" / "service.jsonl"
            eventually(lambda: "/predict" in {line.get("path") for line in logged(log)})
            assert terminal.interrupt() == 0
            assert terminal.shown.rstrip().endswith("Stopped.")
        assert {"service_started", "service_stopped"} <= {line["event"] for line in logged(log)}

    def test_several_workers_and_a_private_port(self, tiny_bundle: Path, tmp_path: Path) -> None:
        command = (DEMUR, "serve", "--bundle", tiny_bundle, "--port", "0", "--workers", "2")
        environment = {"DEMUR_ADMIN_TOKEN": "t" * 20, "DEMUR_LOG_FILE": "logs/here.jsonl"}
        with Terminal(*command, "--admin-port", "0", folder=tmp_path, environment=environment) as terminal:
            text = terminal.read_until(END)
            private = re.search(r"Changes +(http://127\.0\.0\.1:\d+)", text)
            assert private is not None
            headers = {"Authorization": f"Bearer {'t' * 20}"}
            assert httpx.get(f"{private[1]}/bundles", headers=headers, trust_env=False).status_code == 200
            assert text.count("Serving tiny") == 1
            children = Path(f"/proc/{terminal.process.pid}/task/{terminal.process.pid}/children")
            workers = [int(pid) for pid in children.read_text().split()]
            victim = next(
                pid for pid in workers if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
            )
            os.kill(victim, signal.SIGKILL)
            text = terminal.read_until("restart in")
            assert re.search(r"error: worker died \(worker [01], exit code -9, restart in", text)
            log = tmp_path / "logs" / "here.jsonl"
            eventually(lambda: "worker_died" in {line["event"] for line in logged(log)})
            assert terminal.interrupt() == 0

    def test_json_on_request(self, tiny_bundle: Path, tmp_path: Path) -> None:
        command = (DEMUR, "serve", "--bundle", tiny_bundle, "--port", "0", "--log-format", "JSON")
        with Terminal(*command, folder=tmp_path) as terminal:
            text = terminal.read_until("service_started")
            assert END not in text
            assert terminal.interrupt() == 0
        assert all(json.loads(line) for line in terminal.shown.replace("^C", "").splitlines() if line)
        assert not (tmp_path / "demur-data" / "service.jsonl").exists()

    def test_a_bundle_without_a_promise_is_not_said_twice(
        self, make_tiny_bundle: Any, tmp_path: Path
    ) -> None:
        command = (DEMUR, "serve", "--bundle", make_tiny_bundle(feasible=False), "--port", "0")
        with Terminal(*command, folder=tmp_path) as terminal:
            text = " ".join(terminal.read_until(END).split())
        assert text.count("may not answer at all") == 1


def send(command: str, folder: Path) -> dict[str, Any]:
    """The answer to a curl command line, sent by curl or as curl would."""
    words = shlex.split(command)
    try:
        done = subprocess.run(words, capture_output=True, cwd=folder, check=True)
        answer: dict[str, Any] = json.loads(done.stdout)
    except FileNotFoundError:
        name, _, value = words[words.index("-H") + 1].partition(": ")
        content = (folder / words[words.index("--data-binary") + 1].removeprefix("@")).read_bytes()
        answer = httpx.post(words[-1], content=content, headers={name: value}, trust_env=False).json()
    return answer


def test_without_a_terminal_the_log_is_json(tiny_bundle: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [DEMUR, "serve", "--bundle", str(tiny_bundle), "--port", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as service:
        assert service.stderr is not None
        assert service.stdout is not None
        started = next(line for line in service.stderr if json.loads(line)["event"] == "service_started")
        assert "promise" in json.loads(started)
        service.terminate()
        assert all(json.loads(line) for line in service.stderr)
        assert service.stdout.read() == ""
        assert service.wait(300) == 0
    assert not (tmp_path / "demur-data" / "service.jsonl").exists()


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1", "another program listens on port"),
        ("192.0.2.1", "'192.0.2.1' is no address of this machine"),
        ("no.such.host.invalid", "is no address of this machine"),
    ],
)
def test_a_port_that_cannot_be_had(host: str, why: str, tiny_bundle: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [DEMUR, "serve", "--bundle", str(tiny_bundle), "--host", host, "--port", port],
            cwd=tmp_path,
            # A variable of the tests, such as DEMUR_DATA, would be named as misspelt.
            env={name: value for name, value in os.environ.items() if not name.startswith("DEMUR_")},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"demur: {host}:{port} cannot be listened on: ")
    assert why in line
    assert "--" in line
