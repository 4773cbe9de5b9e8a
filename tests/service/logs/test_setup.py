"""Logs: JSON lines on standard error or in a file, and short lines for people beside the file."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from service.logs.setup import LogOptions, configure_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    configure_logging(LogOptions())


def logged(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_without_a_file_every_line_is_json_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogOptions(level="info"))
    structlog.get_logger("demur").info("service_started", bundle="a:1")
    logging.getLogger("uvicorn").warning("odd request")
    structlog.get_logger("demur").debug("unseen")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "service_started"),
        ("warning", "odd request"),
    ]


def test_beside_text_the_file_has_all_lines_and_the_terminal_the_severe_ones(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "service.jsonl"
    configure_logging(LogOptions(text=True, file=file))
    log = structlog.get_logger("demur")
    log.info("request", path="/predict")
    log.error("worker_died", worker=0, exit_code=-9, restart_in=0.4)
    log.warning("environment", note="DEMUR_PROT is no setting; did you mean DEMUR_PORT?")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert [line["event"] for line in logged(file)] == [
        "request",
        "worker_died",
        "environment",
        "Invalid HTTP request received.",
    ]
    shown = [line.split(" ", 1)[1] for line in capfd.readouterr().err.splitlines()]
    assert shown == [
        "error: worker died (worker 0, exit code -9, restart in 0.4)",
        "warning: environment: DEMUR_PROT is no setting; did you mean DEMUR_PORT?",
        "warning: Invalid HTTP request received.",
    ]


def test_the_stream_is_standard_output_if_it_is_asked_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging(LogOptions(stream="stdout"))
    structlog.get_logger("demur").info("service_started")
    said = capfd.readouterr()
    assert (json.loads(said.out)["event"], said.err) == ("service_started", "")
    configure_logging(LogOptions(stream="stdout", text=True, file=tmp_path / "log"))
    structlog.get_logger("demur").error("worker_died")
    said = capfd.readouterr()
    assert said.out.endswith("error: worker died\n")
    assert said.err == ""


def test_an_exception_is_one_line_for_people_and_whole_in_the_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging(LogOptions(text=True, file=tmp_path / "log"))
    try:
        raise ValueError("no such thing")
    except ValueError:
        structlog.get_logger("demur").exception("request_failed", path="/predict")
    shown = capfd.readouterr().err
    assert shown.rstrip().endswith("error: request failed (path /predict, ValueError: no such thing)")
    (line,) = logged(tmp_path / "log")
    assert "Traceback" in line["exception"]


def test_what_a_client_sends_cannot_move_the_cursor(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging(LogOptions(text=True, file=tmp_path / "log"))
    structlog.get_logger("demur").warning("admin", path="/\x1b[2J\r\nerror: all is lost\x9b")
    shown = capfd.readouterr().err
    assert shown.count("\n") == 1
    assert shown.rstrip("\n").isprintable()


def test_the_level_holds_for_both(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogOptions(level="error", text=True, file=tmp_path / "log"))
    structlog.get_logger("demur").warning("engine_installation", problem="two runtimes")
    structlog.get_logger("demur").error("accept_failed", error="too many files", retry_in=0.5)
    assert [line["event"] for line in logged(tmp_path / "log")] == ["accept_failed"]
    shown = capfd.readouterr().err
    assert "engine" not in shown
    assert "accept failed (retry in 0.5): too many files" in shown


def test_requests_are_off_above_info(tmp_path: Path) -> None:
    lines = configure_logging(LogOptions(level="warning", file=tmp_path / "log"))
    lines.write({"path": "/predict"})
    assert not (tmp_path / "log").exists()


_ON_A_FULL_DISK = """
import asyncio, logging, structlog
from pathlib import Path
from service.logs.setup import LogOptions, configure_logging
async def log():
    for options in (LogOptions(), LogOptions(text=True, file=Path("/dev/full"))):
        lines = configure_logging(options)
        structlog.get_logger("demur").error("event_log_unwritable", error="no space")
        logging.getLogger("uvicorn").warning("odd request")
        lines.write({"path": "/predict"})
        await asyncio.sleep(0.2)
asyncio.run(log())
print("went on", flush=True)
"""


def test_standard_error_on_a_full_disk_fails_no_caller() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _ON_A_FULL_DISK],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
        )
    assert done.stdout == "went on\n"
