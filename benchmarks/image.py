"""The container image of the service: built and run without a daemon, on a base of Debian's packages.

    python benchmarks/image.py [--base ARCHIVE] [--twice] [--record [FOLDER]]

Makes a base with mmdebstrap, builds the target `service` with buildah, and runs it as number 10001 with a
read-only root: /readyz, /predict with a JPEG, `demur health`, SIGTERM. `--base` takes an archive that
deploy/image/base.sh made; `--twice` builds the commit again, twice in OCI's form. The exit code is 1 if a
size misses its target, a rebuild differs or the image holds what it must not; times are only shown, since
they depend on what else the machine does. Needs Linux, root and Python 3.11, which the base has.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from harness.buildah import SCRIPTS, Store
from harness.container import Container, ImageSettings, inspected, stop
from harness.figures import markdown
from harness.models import write_model_bundle
from harness.photographs import photograph, photographs
from harness.processes import free_ports
from harness.record import ROOT, Claim, Recording, add_record_option
from harness.venvs import CACHE

from bundle.sign import SigningKey, sign_bundle

UNPACKED, COMPRESSED, START = 450.0, 180.0, 3.0
"""Most megabytes of the files, of the compressed layers, and most seconds to ready"""
BASE_PYTHON = (3, 11)
PATIENCE = 300.0
"""Seconds within which a start or a stop must end; not a target"""
UNWANTED_MODULES = ("pip", "torch", "scipy", "transformers", "pyarrow")
UNWANTED_PROGRAMS = ("pip", "pip3", "gcc", "cc", "g++", "curl", "git", "make")


@dataclass(frozen=True, slots=True)
class Trial:
    """What running the image showed."""

    first: float
    """Seconds to ready of the first start, which times the engines"""
    later: tuple[float, ...]
    """Seconds to ready of the starts after it"""
    stop: float
    """Seconds from SIGTERM to the end"""
    decision: str
    health: tuple[str, str, float]
    """Lines of `demur health` while the service runs and afterwards, and its seconds of CPU"""


def main(arguments: Sequence[str] | None = None) -> None:
    given = _options().parse_args(arguments)
    recording = Recording.begin(given.record)
    if sys.version_info[:2] != BASE_PYTHON:
        sys.exit(
            "the base has Python 3.11, and wheels are downloaded for the Python that runs this: take 3.11"
        )
    with tempfile.TemporaryDirectory(prefix="image-", ignore_cleanup_errors=True) as folder, _wheels():
        scratch = Path(folder)
        store = Store(scratch / "store")
        began = time.monotonic()
        store.import_base(given.base or _base(scratch))
        based = time.monotonic()
        store.build("service", "demur/service:trial")
        built = time.monotonic()
        image = inspected(store.inspect("demur/service:trial"))
        pushed = store.push("demur/service:trial", scratch / "pushed")
        same = _rebuilt(store, scratch) if given.twice else None
        root = store.mount("demur/service:trial")
        faults = [*_faults(root), *_faults_of_settings(image)]
        trial = _tried(root, image, scratch)
        unpacked = _bytes_of(root) / 1e6
    claims = _claims(trial, unpacked, pushed.compressed / 1e6, same)
    rows = [[claim.claim, claim.value, claim.target or "-"] for claim in claims]
    if given.base is None:
        rows.append(["making the base from Debian's packages", f"{based - began:.0f} s", "-"])
    rows.append(["building the image", f"{built - based:.0f} s", "-"])
    shown = markdown(["figure", "value", "target"], rows)
    raw = f"{shown}\n{trial.health[0]}\n{trial.health[1]}\n{trial.decision}"
    print(raw, flush=True)
    recording.save(
        "image",
        "serving",
        "Container image",
        about="The target `service` of the Dockerfile, built by buildah on a base of Debian's packages, run "
        "without a daemon: user 10001, a read-only root, no capability, only /data to write to. The "
        "bundle is a small transformer whose signature is required; /predict gets a JPEG of 1280 x 720.",
        claims=claims,
        detail=shown,
        raw=raw,
    )
    missed = [claim for claim in claims if claim.met is False and not claim.value.endswith(" s")]
    faults += [f"{claim.claim}: {claim.value}; {claim.target}" for claim in missed]
    if faults:
        sys.exit("\n".join(faults))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--base", type=Path, metavar="ARCHIVE", help="archive of deploy/image/base.sh [default: made]"
    )
    parser.add_argument("--twice", action="store_true", help="build the commit again and compare")
    add_record_option(parser)
    return parser


@contextmanager
def _wheels() -> Iterator[None]:
    """The wheels of the lock, in the folder that a build takes them from, which is removed again."""
    folder = ROOT / "wheels"
    subprocess.run(
        [SCRIPTS / "wheels.sh", "service"], check=True, env={**os.environ, "PYTHON": sys.executable}
    )
    try:
        yield
    finally:
        shutil.rmtree(folder)


def _base(scratch: Path) -> Path:
    archive = scratch / "base.tar"
    subprocess.run([SCRIPTS / "base.sh", archive], check=True)
    return archive


def _rebuilt(store: Store, scratch: Path) -> bool:
    """Whether two builds in OCI's form have the same layers and the same id."""
    pushed = []
    for number in ("first", "second"):
        store.build("service", f"demur/service:{number}", form="oci")
        pushed.append(store.push(f"demur/service:{number}", scratch / number))
        print(f"{number} build: {pushed[-1].id}", flush=True)
    return pushed[0] == pushed[1]


def _tried(root: Path, image: ImageSettings, scratch: Path) -> Trial:
    """Start the service three times, ask it, and stop it."""
    images = photographs(8, 240, 320, 20_000)
    bundle = write_model_bundle("small", scratch / "bundles", images, CACHE / "onnx")
    data = scratch / "data"
    data.mkdir(mode=0o750)
    os.chown(data, 10001, 10001)
    settings = {"DEMUR_SIGNATURES": "require", "DEMUR_TRUSTED_KEYS": f"/data/{_signed(bundle, data)}"}
    port = str(free_ports(1)[0])
    container = Container(root, data, bundle, image, scratch / "service.log")
    starts, stops = [], []
    decision, ready, cpu = "", "", 0.0
    for _ in range(3):
        began = time.monotonic()
        with container.running(image.command, DEMUR_PORT=port, **settings) as process:
            try:
                _wait_until_ready(process, int(port))
                starts.append(time.monotonic() - began)
                decision = _predicted(int(port))
                before = sum(os.times()[2:4])
                ready = container.run(*image.health, DEMUR_PORT=port).stdout.strip()
                cpu = sum(os.times()[2:4]) - before
                began = time.monotonic()
                code = stop(process, PATIENCE)
                stops.append(time.monotonic() - began)
            except BaseException:
                print(container.log.read_text(errors="replace"), file=sys.stderr)
                raise
        if code != 0:
            raise RuntimeError(f"the service ended with {code} after SIGTERM:\n{container.log.read_text()}")
    gone = container.run(*image.health, DEMUR_PORT=port)
    if not ready.startswith("ready: ") or gone.returncode != 1:
        raise RuntimeError(f"demur health said {ready!r} of a ready service, and {gone} of one that is gone")
    return Trial(starts[0], tuple(starts[1:]), max(stops), decision, (ready, gone.stdout.strip(), cpu))


def _signed(bundle: Path, data: Path) -> str:
    """Sign the bundle with a new key, and put the public one into the data folder; its name."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = bundle.with_suffix(".pem"), data / "public.pem"
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    sign_bundle(bundle, SigningKey(private))
    return public.name


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        if process.poll() is not None:
            raise RuntimeError(f"the service ended with {process.returncode} before it was ready")
        with suppress(OSError, HTTPException):
            if _answer(port, "GET", "/readyz")[0] == 200:
                return
        time.sleep(0.01)
    raise RuntimeError(f"the service was not ready within {PATIENCE:g} s")


def _predicted(port: int) -> str:
    status, body = _answer(port, "POST", "/predict", photograph(720, 1280))
    if status != 200:
        raise RuntimeError(f"/predict answered {status}: {body.decode(errors='replace')}")
    answer = json.loads(body)
    return f"/predict: {answer['decision']}, stage {answer['stage']}, confidence {answer['confidence']:.3f}"


def _answer(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {} if body is None else {"Content-Type": "image/jpeg"}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _faults(root: Path) -> Iterator[str]:
    """What the image holds and must not."""
    for packages in (*root.glob("opt/demur/lib/python3*/site-packages"), *root.glob("usr/lib/python3*")):
        for module in (*UNWANTED_MODULES, "ensurepip"):
            if (packages / module).exists():
                yield f"{module} is in the image, in {packages.relative_to(root)}"
    for folder in ("opt/demur/bin", "usr/bin", "usr/local/bin"):
        yield from (
            f"/{folder}/{name} is in the image"
            for name in UNWANTED_PROGRAMS
            if (root / folder / name).exists()
        )
    packages = next(root.glob("opt/demur/lib/python3*/site-packages"))
    yield from (
        f"tests of a library are in the image: {found.relative_to(root)}"
        for found in packages.rglob("tests")
        if found.is_dir() and found.relative_to(packages).parts[0] != "deploy"
    )
    bill = json.loads((root / "opt/demur/sbom.cdx.json").read_text())
    names = {component["name"] for component in bill["components"]}
    yield from (
        f"{name} is not in the bill of materials" for name in ("onnxruntime", "libc6") if name not in names
    )


def _faults_of_settings(image: ImageSettings) -> Iterator[str]:
    revision = image.labels.get("org.opencontainers.image.revision", "")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
    if not revision.startswith(head.stdout.strip()):
        yield f"the label of the revision is {revision!r}"
    if image.user != "10001:10001":
        yield f"the user is {image.user!r}"


def _claims(trial: Trial, unpacked: float, compressed: float, same: bool | None) -> list[Claim]:
    later = max(trial.later)
    claims = [
        Claim(
            "service image, unpacked",
            f"{unpacked:.0f} MB",
            f"at most {UNPACKED:.0f} MB",
            unpacked <= UNPACKED,
        ),
        Claim(
            "service image, compressed",
            f"{compressed:.0f} MB",
            f"at most {COMPRESSED:.0f} MB",
            compressed <= COMPRESSED,
        ),
        Claim(
            "start to ready, from the image, signature checked",
            f"{later:.2f} s",
            f"at most {START:g} s",
            later <= START,
        ),
        Claim("the same, first start of a bundle on a machine, engines timed", f"{trial.first:.2f} s"),
        Claim("SIGTERM to the end", f"{trial.stop:.2f} s"),
        Claim("one health check", f"{trial.health[2]:.2f} s of CPU"),
    ]
    if same is not None:
        claims.append(
            Claim(
                "rebuild of one commit",
                "same layers, same id" if same else "differs",
                "same layers, same id",
                same,
            )
        )
    return claims


def _bytes_of(root: Path) -> int:
    """Bytes of all files, each counted once."""
    sizes = {}
    for file in root.rglob("*"):
        if file.is_file() and not file.is_symlink():
            status = file.stat()
            sizes[status.st_ino] = status.st_size
    return sum(sizes.values())


if __name__ == "__main__":
    main()
