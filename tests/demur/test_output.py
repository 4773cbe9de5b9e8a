"""Output on terminals and pipes of any encoding, and names of files that are no UTF-8."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fakes.channel_models import RED, channel_images, channel_model
from fakes.tiny_bundle import colour_image

from demur import cli
from demur.output import print_warning, printable

DEMUR = Path(sys.executable).with_name("demur")
CLASSES = ("ruhig", "größer")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in class folders, one of which has a name outside ASCII."""
    images, root = channel_images(120), tmp_path_factory.mktemp("fotos-größe")
    for row in range(len(images)):
        folder = root / CLASSES[images.labels[row]]
        folder.mkdir(exist_ok=True)
        (folder / f"{row}.png").write_bytes(images.read(row))
    return root


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a wrapped model."""
    root = tmp_path_factory.mktemp("wrapped")
    model = channel_model(root / "red.onnx", RED)
    command = [
        *(str(DEMUR), "wrap", f"--model={model}", f"--data=folder:{photos}", f"--out={root / 'run'}"),
        *("--normalisation=zero-one", f"--class-names={','.join(CLASSES)}"),
    ]
    done = subprocess.run(command, capture_output=True, check=False, env=ascii_environment())
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).isascii()
    return root / "run"


def ascii_environment() -> dict[str, str]:
    return {**os.environ, "PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run(*arguments)`: the command line on output that is ASCII; (exit code, output, error output)."""

    def run_on_ascii(*arguments: object) -> tuple[int, str, str]:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict") for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        monkeypatch.setattr(sys, "argv", ["demur", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        texts = []
        for stream in streams:
            stream.flush()
            assert isinstance(stream.buffer, io.BytesIO)
            texts.append(stream.buffer.getvalue().decode("ascii"))
        return int(stop.value.code or 0), texts[0], texts[1]

    return run_on_ascii


@pytest.fixture
def photos_of_any_name(tmp_path: Path) -> Path:
    """Two images and a damaged one whose names hold a byte that is no UTF-8."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, data in (
        (b"a.jpg", colour_image(0, 0.9)),
        (b"caf\xe9.jpg", colour_image(1, 0.9)),
        (b"d\xe9fect.jpg", b"no image"),
    ):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(data)
    return folder


class TestAscii:
    def test_data(self, photos: Path, run: Run, tmp_path: Path) -> None:
        code, text, _ = run("data", f"folder:{photos}", "--sheet", tmp_path / "sheet.png")
        assert code == 0
        assert "gr\\xf6\\xdfer" in text

    def test_json_is_ascii_and_keeps_its_characters(self, photos: Path, run: Run) -> None:
        code, text, _ = run("data", f"folder:{photos}", "--json")
        assert code == 0
        assert set(json.loads(text)["class_names"]) == set(CLASSES)

    @pytest.mark.parametrize("verb", ["sweep", "gate", "evaluate"])
    def test_verbs_on_a_run(self, verb: str, finished: Path, run: Run) -> None:
        code, text, errors = run(verb, finished)
        assert (code, errors) == (0, "")
        assert text

    def test_verbs_on_a_bundle(self, finished: Path, photos: Path, run: Run, tmp_path: Path) -> None:
        bundle = finished / "bundle"
        assert run("inspect", bundle)[0] == 0
        assert "größer" in json.loads(run("inspect", bundle, "--json")[1])["classes"]
        assert "golden cases" in run("verify", bundle)[1]
        out = tmp_path / "größe.csv"
        code, text, _ = run("predict", "--bundle", bundle, "--data", f"folder:{photos}", "--out", out)
        assert (code, "120 images" in text) == (0, True)
        assert "größer/" in out.read_text("utf-8")

    def test_calibrate_with_a_warning(self, run: Run, tmp_path: Path) -> None:
        table = tmp_path / "größe.csv"
        table.write_text("label,probability\n" + "1,0.9\n0,0.1\n" * 200, "utf-8")
        code, text, _ = run("calibrate", "--scores", table)
        assert code == 0
        assert "gr\\xf6\\xdfe.csv.ledger.json" in text

    def test_an_error(self, run: Run, tmp_path: Path) -> None:
        code, text, errors = run("inspect", tmp_path / "größe")
        assert (code, text) == (2, "")
        assert "gr\\xf6\\xdfe" in errors

    @pytest.mark.parametrize(
        "verb", ["", *(verb.__name__ for group in cli.PANELS.values() for verb in group)]
    )
    def test_help(self, verb: str, run: Run) -> None:
        code, text, _ = run(*filter(None, [verb, "--help"]))
        assert code == 0
        assert "Usage" in text


class TestNamesThatAreNoUtf8:
    def test_an_escape_shows_the_byte(self) -> None:
        assert printable(os.fsdecode(b"caf\xe9.jpg")) == "caf\\xe9.jpg"
        assert printable("größer") == "größer"

    @pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
    def test_tables_of_predict(
        self, suffix: str, tiny_bundle: Path, photos_of_any_name: Path, run: Run, tmp_path: Path
    ) -> None:
        out = tmp_path / f"decisions.{suffix}"
        code, _, errors = run(
            "predict", "--bundle", tiny_bundle, "--data", f"folder:{photos_of_any_name}", "--out", out
        )
        assert (code, errors) == (0, "")
        assert paths_in(out) == ["a.jpg", "caf\\xe9.jpg", "d\\xe9fect.jpg"]

    def test_data_lists_the_damaged_file(self, photos_of_any_name: Path, run: Run) -> None:
        assert "d\\xe9fect.jpg" in run("data", f"folder:{photos_of_any_name}")[1]
        code, text, _ = run("data", f"folder:{photos_of_any_name}", "--json")
        assert code == 0
        assert "d\\\\xe9fect.jpg" in text
        json.loads(text)

    def test_utf8_output_shows_the_byte_as_well(self, photos_of_any_name: Path) -> None:
        done = subprocess.run(
            [DEMUR, "data", f"folder:{photos_of_any_name}"],
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
        assert done.returncode == 0, done.stderr
        assert b"d\\xe9fect.jpg" in done.stdout


def paths_in(table: Path) -> list[str]:
    if table.suffix == ".parquet":
        return [row["path"] for row in pq.read_table(table).to_pylist()]
    lines = table.read_text("utf-8").splitlines()
    if table.suffix == ".csv":
        return [row["path"] for row in csv.DictReader(lines)]
    return [json.loads(line)["path"] for line in lines]


def test_a_warning_goes_to_the_error_output_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_warning("WARNING: " + "[bold] " * 40)
    assert capsys.readouterr().err == "WARNING: " + "[bold] " * 40 + "\n"


def test_output_that_cannot_be_written_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        done = subprocess.run([DEMUR, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        cli.EXPECTED_FAULT,
        "demur: [Errno 28] No space left on device\n",
    )


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("DEMUR_DEBUG", raising=False)
