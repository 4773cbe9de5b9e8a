"""`demur profile` on a real bundle and a real service, and its figures."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import ANSWERED_BY_A, colour_image
from rich.console import Console
from typer.testing import CliRunner

from bundle.loader import load_bundle
from demur.cli import app
from demur.profile.figures import Latency, Memory, Profile, Repeated, Throughput
from demur.profile.load import requests_for, run_load
from demur.profile.report import profile_tables, summary
from demur.profile.steps import cascade_savings


def profile_of(raw: tuple[float, ...], load_before: float = 0.0, refused: int = 0) -> Profile:
    rates = Repeated.of(raw)
    return Profile(
        bundle="tiny:1",
        engine="onnxruntime-cpu/fp32",
        choice="onnxruntime-cpu/fp32 (CPUExecutionProvider): requested; images per batch: A 1",
        images="12 images",
        cores=2,
        load_before=load_before,
        latencies=(Latency.of("decode", [[1.0, 2.0], [3.0, 4.0]]),),
        throughput=Throughput(
            processes=2,
            clients=8,
            raw_images_per_second=rates,
            served_images_per_second=Repeated.of([90.0, 91.0]),
            share_of_raw=Repeated.of([0.9, 0.91]),
            raw_cpu_ms=Repeated.of([10.0]),
            served_cpu_ms=Repeated.of([10.4]),
            refused=refused,
        ),
        memory=Memory(80.0, ()),
        cascade=None,
    )


def test_repeated_runs_give_their_median_and_range() -> None:
    assert Repeated.of([3.0, 1.0, 2.0]) == Repeated(2.0, 1.0, 3.0, 3)
    assert Repeated.of([3.0, 1.0, 2.0]).spread == 1.0


def test_latencies_are_quantiles_of_all_runs_with_the_range_of_each_run() -> None:
    latency = Latency.of("decode", [[float(ms) for ms in range(101)], [200.0] * 101])
    assert latency.samples == 202
    assert latency.p50 == Repeated(150.0, 50.0, 200.0, 2)
    assert latency.p95.low == 95.0


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (profile_of((100.0, 101.0)), []),
        (profile_of((100.0, 101.0), load_before=1.7), ["1.7 cores busy"]),
        (profile_of((100.0, 150.0)), ["differ by 40 %"]),
        (profile_of((100.0, 100.0), refused=3), ["3 requests were refused"]),
    ],
)
def test_a_busy_machine_gives_warnings(profile: Profile, words: list[str]) -> None:
    assert len(profile.warnings) == len(words)
    for warning, word in zip(profile.warnings, words, strict=True):
        assert word in warning


def test_a_profile_without_cascade_or_proc_is_printed_too() -> None:
    console = Console(record=True, width=120)
    console.print(profile_tables(profile_of((100.0, 101.0))))
    assert "decode" in console.export_text()
    assert "cost 0.40 ms" in " ".join(summary(profile_of((100.0, 101.0))))


def test_the_load_generator_counts_answers_and_refusals(tiny_bundle: Path, tmp_path: Path) -> None:
    requests = requests_for([colour_image(0, ANSWERED_BY_A), colour_image(1, ANSWERED_BY_A, encoding="PNG")])
    assert b"Content-Type: image/png\r\n" in requests[1]
    with ServiceProcess(tiny_bundle, tmp_path / "service", redis_url="off") as service:
        good = run_load(service.address, requests, clients=3, seconds=0.3)
        bad = run_load(service.address, [b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"], clients=1, seconds=0.1)
        with service.client() as client:
            served = client.get("/metrics").text
    assert good.refused == 0
    counted = re.search(r'http_server_request_duration_seconds_count{[^}]*"/predict"[^}]*} (\S+)', served)
    assert counted is not None
    assert float(counted[1]) == len(good.latencies) > 0
    assert bad.refused > 0
    assert bad.latencies == []


def test_the_verb_measures_prints_and_writes(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "profile"
    result = CliRunner().invoke(
        app,
        ["profile", "--bundle", str(tiny_bundle), "--out", str(out), "--seconds", "4", "--processes", "1"],
    )
    assert result.exit_code == 0, result.output
    assert "Milliseconds by step" in result.output
    assert "of the raw limit" in result.output
    told = json.loads((out / "profile.json").read_bytes())
    steps = {latency["step"]: latency for latency in told["latencies"]}
    assert list(steps) == ["read", "decode", "stage A", "stage B", "decide", "http request"]
    for latency in steps.values():
        assert 0 < latency["p50"]["median"] <= latency["p95"]["median"] <= latency["p99"]["median"]
    # A request includes the decoding, so it takes longer.
    assert steps["http request"]["p50"]["median"] > steps["decode"]["p50"]["median"]
    through = told["throughput"]
    assert through["refused"] == 0
    assert through["served_cpu_ms"]["runs"] == 6
    assert through["served_cpu_ms"]["median"] > through["raw_cpu_ms"]["median"]
    assert told["cascade"]["answered_by_a"] == pytest.approx(0.75 * 0.6)
    assert len(told["memory"]["service_processes"]) == 1
    with (out / "profile.csv").open() as stream:
        rows = {row["figure"]: row for row in csv.DictReader(stream)}
    assert float(rows["decode_p50"]["value"]) == pytest.approx(steps["decode"]["p50"]["median"])
    assert (out / "profile.png").read_bytes().startswith(b"\x89PNG")


def test_a_stage_that_answers_nothing_costs_nothing(make_tiny_bundle: Callable[..., Path]) -> None:
    loaded = load_bundle(make_tiny_bundle(feasible=False))
    steps = {step: [[2.0, 2.0]] for step in ("read", "decode", "stage A", "stage B", "decide")}
    cascade = cascade_savings(loaded, [colour_image(0, ANSWERED_BY_A)], steps, measured=True)
    assert cascade is not None
    assert (cascade.answered_by_a, cascade.macs_saved, cascade.time_saved) == (0.0, 0.0, 0.0)


def test_the_share_of_stage_a_is_measured_on_a_source(tiny_bundle: Path, tmp_path: Path) -> None:
    for number in range(6):
        image = colour_image(number % 2, ANSWERED_BY_A, number)
        (tmp_path / "images" / str(number % 2)).mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / str(number % 2) / f"{number}.jpg").write_bytes(image)
    (tmp_path / "images" / "1" / "broken.jpg").write_bytes(b"\xff\xd8 not really")
    out = tmp_path / "profile"
    result = CliRunner().invoke(
        app,
        [
            "profile",
            f"--bundle={tiny_bundle}",
            f"--data=folder:{tmp_path / 'images'}",
            f"--out={out}",
            "--seconds=3",
            "--processes=1",
        ],
    )
    assert result.exit_code == 0, result.output
    cascade = json.loads((out / "profile.json").read_bytes())["cascade"]
    assert cascade["images"] == 6
    assert cascade["answered_by_a"] == 1.0
    assert cascade["macs_saved"] == pytest.approx(0.9)


def test_a_folder_that_cannot_be_made_stops_before_the_measurement(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "profile").write_text("a file")
    result = CliRunner().invoke(
        app, ["profile", f"--bundle={tiny_bundle}", f"--out={tmp_path / 'profile'}", "--seconds=6000"]
    )
    assert "profile cannot be written: a file of that name exists" in str(result.exception)
