"""Verbs on a disk that takes no further byte, simulated by a file size limit: one message names the file."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.tiny_bundle import colour_image

from demur.cli import EXPECTED_FAULT

DEMUR = Path(sys.executable).with_name("demur")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label in (0, 1):
        for number in range(3):
            path = tmp_path / "photos" / str(label) / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(colour_image(label, 0.9, number))
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("predict --bundle {bundle} --data folder:{photos} --out {out}/d.csv", "d.csv cannot be written"),
        (
            "predict --bundle {bundle} --data folder:{photos} --out {out}/d.parquet",
            "d.parquet cannot be written",
        ),
        ("predict --bundle {bundle} --data folder:{photos} --out {out}/d.jsonl", "d.jsonl cannot be written"),
        ("data folder:{photos} --sheet {out}/sheet.png", "sheet.png cannot be written"),
        ("calibrate --scores {photos}/scores.csv", "ledger cannot be used"),
        ("evaluate {photos}", ".lock cannot be written"),
        (
            "wrap --model {bundle}/stage_a/model.onnx --data folder:{photos} --out {out}/run",
            ".lock cannot be written",
        ),
        ("train --data folder:{photos} --out {out}/run", ".lock cannot be written"),
    ],
)
def test_a_file_that_cannot_be_written_is_named(
    arguments: str, named: str, tiny_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "scores.csv").write_text("label,probability\n" + "1,0.9\n0,0.1\n" * 300)
    out = tmp_path / "out"
    out.mkdir()
    command = arguments.format(bundle=tiny_bundle, photos=photos, out=out)
    done = subprocess.run(
        ["sh", "-c", f"ulimit -f 0; exec {shlex.quote(str(DEMUR))} {command}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DEMUR_LEDGER": str(tmp_path / "ledger")},
    )
    assert done.returncode == EXPECTED_FAULT, done.stderr
    assert named in done.stderr
    assert "it exceeds the largest file size" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in out.rglob("*") if path.is_file() and path.stat().st_size]


def test_a_home_folder_that_cannot_be_written_is_not_talked_of() -> None:
    code = "import matplotlib, onnxruntime, time; time.sleep(0.5)"
    starts = "import sys; sys.argv[1:] = ['--version']\ntry:\n    from demur.cli import main; main()\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{starts}except SystemExit:\n    {code}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": "/proc", "XDG_CONFIG_HOME": "/proc/x", "XDG_CACHE_HOME": "/proc/x"},
    )
    assert (done.returncode, done.stderr) == (0, "")
