"""What a signature costs a service: time of the check, of the start, and what must be installed for it.

    python benchmarks/signatures.py --bundle DEMO/bundle [--checks 200] [--starts 5] [--record [FOLDER]]

The bundle is copied and signed with a new key. A check is what each opening adds: reading `model.sig`, the
curve's arithmetic and the comparison of the signed list with the manifest. A start is `demur serve` from its
first instruction to the first 200 of /readyz, with signatures off and required in turn; the engines were
timed before. The library beside it is OpenSSF model signing, which demur signs with and does not serve with.
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
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from importlib.metadata import distribution, requires
from pathlib import Path
from statistics import median

from harness.figures import markdown
from harness.processes import cpu_seconds, free_ports, tree
from harness.record import Claim, Recording, add_record_option
from packaging.requirements import Requirement

from bundle.sign import SigningKey, sign_bundle
from bundle.signing.policy import SignaturePolicy
from bundle.verify import read_manifest, verify_bundle

START_TARGET = 3.0
_IMPORTS = {
    "cryptography": "from bundle.signing.keys import read_trusted_key; read_trusted_key(KEY)",
    "the library": "import model_signing.verifying as v; "
    "v.Config().use_elliptic_key_verifier(public_key=KEY)",
}
_CHECK_BY_LIBRARY = (
    "v.Config().use_elliptic_key_verifier(public_key=KEY).verify(FOLDER, FOLDER / 'model.sig')"
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--checks", type=int, default=200)
    parser.add_argument("--starts", type=int, default=5)
    add_record_option(parser)
    given = parser.parse_args(arguments)
    recording = Recording.begin(given.record)
    with tempfile.TemporaryDirectory(prefix="signatures-") as place:
        folder, key = signed_copy(given.bundle, Path(place))
        trust = SignaturePolicy("require", (key,))
        plain, checked = (
            timed(lambda how=how: read_manifest(folder, how), given.checks) for how in (None, trust)
        )
        whole = timed(lambda: verify_bundle(folder, trust=trust), 20)
        loads = {name: imported(code, folder, key) for name, code in _IMPORTS.items()}
        library = imported(f"{_IMPORTS['the library']}; {_CHECK_BY_LIBRARY}", folder, key)
        starts: dict[str, list[tuple[float, float]]] = {"off": [], "require": []}
        for _ in range(given.starts + 1):
            for mode in starts:
                starts[mode].append(started(folder, key, mode, Path(place)))
        size = sum(record.size for record in read_manifest(folder).files.values()) / 1e6
    walls = {mode: [wall for wall, _ in starts[mode][1:]] for mode in starts}
    cpus = {mode: median(cpu for _, cpu in starts[mode][1:]) for mode in starts}
    off, require = median(walls["off"]), median(walls["require"])
    added = [1e3 * (one - other) for one, other in zip(checked, plain, strict=True)]
    rows = [
        ["reading the manifest, and with the signature", spread(plain), spread(checked)],
        ["every file and the signature", "", spread(whole)],
        ["first import of what checks, in a new process", "", spread(loads["cryptography"])],
        ["the library instead: import", "", spread(loads["the library"])],
        ["the library instead: import and check of all files", "", spread(library)],
    ]
    table = markdown(["", "wall, CPU without, ms", "wall, CPU, ms"], rows)
    sizes = (
        f"{installed(['cryptography']):.1f} MB (cryptography and cffi), {installed(['model-signing']):.1f} MB"
    )
    lines = [
        table,
        *(
            f"start to ready, {mode}: {median(walls[mode]):.2f} s ({listed(walls[mode])}), "
            f"{cpus[mode]:.2f} s of CPU"
            for mode in starts
        ),
        f"installed for the check, and for the library with all that it needs: {sizes}",
    ]
    print("\n".join(lines))
    recording.save(
        "signatures",
        "serving",
        "Signatures of bundles",
        about=f"A bundle of {size:.1f} MB, signed with a key on P-256; medians of {given.checks} checks and "
        f"{given.starts} starts of `demur serve` each way, in turn.",
        claims=[
            Claim(
                "start to ready, signature required",
                f"{require:.2f} s ({off:.2f} s without)",
                f"<= {START_TARGET:g} s",
                require <= START_TARGET,
            ),
            Claim(
                "a check of a signature beside the digests: wall, CPU", f"{added[0]:.2f}, {added[1]:.2f} ms"
            ),
            Claim("installed for the check; for the library that signs", sizes),
        ],
        detail="\n\n".join(lines),
        raw="\n".join(lines),
    )


def signed_copy(bundle: Path, place: Path) -> tuple[Path, Path]:
    """A copy of the bundle that a new key has signed, and the public key."""
    folder, private, public = place / "bundle", place / "private.pem", place / "public.pem"
    shutil.copytree(bundle, folder, ignore=shutil.ignore_patterns("model.sig"))
    make = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private]
    subprocess.run(make, check=True, capture_output=True)
    subprocess.run(
        ["openssl", "ec", "-in", private, "-pubout", "-out", public], check=True, capture_output=True
    )
    sign_bundle(folder, SigningKey(private))
    return folder, public


def timed(work: Callable[[], object], times: int) -> tuple[float, float]:
    """Seconds of wall and CPU time, the median of each."""
    walls, cpus = [], []
    for _ in range(times + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return median(walls[1:]), median(cpus[1:])


def imported(code: str, folder: Path, key: Path, times: int = 5) -> tuple[float, float]:
    """Seconds of wall and CPU time of `code` in a new process that has read the manifest, medians."""
    program = (
        "import json, time; from pathlib import Path; from bundle.verify import read_manifest\n"
        f"FOLDER, KEY = Path({str(folder)!r}), Path({str(key)!r}); read_manifest(FOLDER)\n"
        f"wall, cpu = time.perf_counter(), time.process_time()\n{code}\n"
        "print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))"
    )
    found = [
        json.loads(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout)
        for _ in range(times)
    ]
    return median(one[0] for one in found), median(one[1] for one in found)


def started(folder: Path, key: Path, mode: str, place: Path) -> tuple[float, float]:
    """Seconds from the start of `demur serve` to the first 200 of /readyz, and its CPU time until then."""
    port = free_ports(1)[0]
    command = [
        sys.executable,
        "-P",
        "-m",
        "demur.start",
        "serve",
        "--bundle",
        str(folder),
        "--port",
        str(port),
    ]
    environment = {
        **os.environ,
        "DEMUR_DATA_DIR": str(place / "data"),
        "DEMUR_SIGNATURES": mode,
        "DEMUR_TRUSTED_KEYS": str(key),
    }
    began = time.perf_counter()
    with (place / "log").open("wb") as log:
        service = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        while not ready(f"http://127.0.0.1:{port}/readyz"):
            assert service.poll() is None, (place / "log").read_text()
            time.sleep(0.01)
        return time.perf_counter() - began, cpu_seconds(tree(service.pid))
    finally:
        service.terminate()
        service.wait(60)


def ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def installed(names: Sequence[str]) -> float:
    """Megabytes of these distributions and of all that they need."""
    pending, sizes = list(names), {}
    while pending:
        name = pending.pop()
        if name in sizes:
            continue
        sizes[name] = sum(file.size or 0 for file in distribution(name).files or ())
        needed = [Requirement(text) for text in requires(name) or ()]
        pending += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return sum(sizes.values()) / 1e6


def spread(pair: tuple[float, float]) -> str:
    return f"{1e3 * pair[0]:.2f}, {1e3 * pair[1]:.2f}"


def listed(seconds: Sequence[float]) -> str:
    return f"{min(seconds):.2f} to {max(seconds):.2f}"


if __name__ == "__main__":
    main()
