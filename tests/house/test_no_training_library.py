"""What wraps, certifies, predicts and serves runs without torch, on what `[cpu,serve,data]` installs.
What serves runs without SciPy too, on what `[cpu,serve]` installs.

Every verb runs for real in a process of its own, where nothing can be imported that belongs to a distribution
outside of these extras.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import httpx
import numpy as np
import pytest
from fakes.channel_models import RED, channel_images, channel_model
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("cpu", "serve", "data", "certify")
SERVING = ("cpu", "serve")
IMAGES = 60

_HIDE = """
import sys
from importlib.machinery import PathFinder
HIDDEN = frozenset({hidden!r})
class _Installed:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = _Installed
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of labelled images, a model, a table of scores, and what hides the other distributions."""
    folder = tmp_path_factory.mktemp("world")
    images = channel_images(IMAGES)
    for row in range(IMAGES):
        path = folder / "images" / images.class_names[images.labels[row]] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images.read(row))
    channel_model(folder / "red.onnx", RED)
    rng = np.random.default_rng(0)
    rows = [f"{label},{0.99 if label else 0.01}" for label in rng.integers(0, 2, 400)]
    (folder / "scores.csv").write_text("label,score\n" + "\n".join(rows) + "\n")
    for site, extras in {"site": EXTRAS, "serving": SERVING}.items():
        (folder / site).mkdir()
        (folder / site / "sitecustomize.py").write_text(_HIDE.format(hidden=_hidden(extras)))
    return folder


def _environment(world: Path, site: str = "site") -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(world / site),
        "OMP_NUM_THREADS": "1",
    }


def _demur(world: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("demur"), *arguments],
        cwd=world,
        env=_environment(world),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def wrapped(world: Path) -> Path:
    """The run that `demur wrap` makes without a training library."""
    done = _demur(
        world,
        *("wrap", "--model=red.onnx", "--data=folder:images", "--out=run"),
        *("--class-names=calm,busy", "--normalisation=zero-one"),
    )
    assert done.returncode == 0, done.stderr
    return world / "run"


@pytest.mark.parametrize(
    "verb",
    [
        ["data", "folder:images"],
        ["calibrate", "run"],
        ["calibrate", "--scores=scores.csv"],
        ["evaluate", "run"],
        ["gate", "run"],
        ["sweep", "run"],
        ["bundle", "run", "--reissue", "--with-calibration-images"],
        ["inspect", "run/bundle"],
        ["verify", "run/bundle", "--engine=onnxruntime-cpu"],
        ["predict", "--bundle=run/bundle", "--data=folder:images", "--out=decisions.parquet"],
    ],
    ids=lambda verb: " ".join(verb[:2]),
)
def test_a_verb_runs(world: Path, wrapped: Path, verb: list[str]) -> None:
    assert wrapped.is_dir()
    done = _demur(world, *verb)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_service_answers(world: Path, wrapped: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            Path(sys.executable).with_name("demur"),
            "serve",
            f"--bundle={wrapped / 'bundle'}",
            f"--port={port}",
        ],
        cwd=world,
        env={**_environment(world, "serving"), "DEMUR_REDIS_URL": "off"},
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as client:
            _wait_until_ready(client, process)
            image = next((world / "images" / "busy").iterdir()).read_bytes()
            answer = client.post("/predict", content=image, headers={"Content-Type": "image/png"})
    finally:
        process.terminate()
        assert process.wait(300) == 0
    assert answer.status_code == 200
    # Sixty images certify nothing: the bundle abstains, and the probability is there all the same.
    assert answer.json()["decision"] == "abstain"
    assert 0.0 <= answer.json()["probability"] <= 1.0


def _wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/readyz").status_code == 200:
                return
        time.sleep(0.1)
    pytest.fail(f"the service ended with {process.returncode}")


def test_quantising_names_the_extra_that_it_needs(world: Path, wrapped: Path) -> None:
    done = _demur(world, "bundle", str(wrapped), "--precision=int8", "--reissue")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "demur: int8 needs onnx; install demur with the extra [train]: pip install "
    )


def test_a_data_set_on_the_hub_names_the_extra_that_it_needs(world: Path) -> None:
    done = _demur(world, "data", "hub:someone/roadwork")
    assert done.returncode == 2
    assert "hub:someone/roadwork needs huggingface_hub; install demur with the extra [train]" in done.stderr


def test_the_training_libraries_are_hidden(world: Path) -> None:
    for name in ("torch", "transformers", "peft", "onnx", "onnxscript", "safetensors", "openvino"):
        found = f"u.find_spec({name!r}), u.find_spec('onnxruntime') is not None"
        code = f"import importlib.util as u; print({found})"
        done = subprocess.run(
            [sys.executable, "-c", code], env=_environment(world), capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "None True"


def test_scipy_is_hidden_from_the_service(world: Path) -> None:
    code = "import importlib.util as u; print(u.find_spec('scipy'), u.find_spec('fastapi') is not None)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=_environment(world, "serving"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "None True"


def _hidden(extras: tuple[str, ...]) -> list[str]:
    """Top-level names of every installed module that demur with these extras does not install."""
    allowed = _installed_by(extras)
    owners = packages_distributions()
    return sorted(name for name in owners if not {_plain(owner) for owner in owners[name]} & allowed)


def _installed_by(extras: tuple[str, ...]) -> set[str]:
    """Names of the distributions that demur with these extras installs, with all that they require."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(r for e in extras for r in project["optional-dependencies"][e])]
    found = {"demur"}
    queue = [Requirement(text) for text in wanted]
    while queue:
        requirement = queue.pop()
        name = _plain(requirement.name)
        key = f"{name}[{','.join(sorted(requirement.extras))}]"
        if key in found:
            continue
        found |= {name, key}
        try:
            inner = [Requirement(text) for text in requires(requirement.name) or ()]
        except PackageNotFoundError:
            continue
        environments = [{"extra": extra} for extra in (*requirement.extras, "")]
        queue += [one for one in inner if one.marker is None or any(map(one.marker.evaluate, environments))]
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
