"""`demur bundle --sbom`: a bill of materials that validators accept, and what becomes of a signature."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from fakes.command_line import Demur, in_this_process
from fakes.signing_keys import write_pair

from bundle.sign import SigningKey, sign_bundle
from bundle.signing.envelope import SIGNATURE_FILE
from bundle.verify import verify_bundle
from trainer.bundling.rerun import recalibrate
from trainer.bundling.sbom import SBOM_FILE


@pytest.fixture
def demur(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Demur:
    return in_this_process(monkeypatch, capfdbinary)


def validator() -> Any:
    """The schema of CycloneDX 1.6, which the library brings."""
    schemas = files("cyclonedx.schema") / "_res"

    def schema(address: str) -> Any:
        return json.loads((schemas / address.rpartition("/")[2]).read_text())

    return jsonschema_rs.validator_for(schema("bom-1.6.SNAPSHOT.schema.json"), retriever=schema)


@pytest.fixture
def signed_run(run_copy: Path, tmp_path: Path) -> Path:
    sign_bundle(run_copy / "bundle", SigningKey(write_pair(tmp_path, "key").private))
    return run_copy


def test_the_bundle_lists_what_made_it_and_is_signed_no_longer(signed_run: Path, demur: Demur) -> None:
    ended = demur("bundle", signed_run, "--sbom")
    assert ended.code == 0, ended.err
    assert "The earlier bundle was signed. This one is another" in ended.out + ended.err
    folder = signed_run / "bundle"
    manifest = verify_bundle(folder)
    assert not (folder / SIGNATURE_FILE).exists()
    text = (folder / SBOM_FILE).read_text()
    assert SBOM_FILE in manifest.files
    validator().validate(json.loads(text))
    content: dict[str, Any] = json.loads(text)
    parts = {one["bom-ref"]: one for one in content["components"]}
    assert parts[f"pkg:pypi/numpy@{version('numpy')}"]["purl"] == f"pkg:pypi/numpy@{version('numpy')}"
    digest = sha256((folder / manifest.stages[0].file).read_bytes()).hexdigest()
    assert parts["stage_a"]["hashes"] == [{"alg": "SHA-256", "content": digest}]


def test_the_same_run_has_the_same_bill(run_copy: Path, demur: Demur) -> None:
    texts = []
    for _ in range(2):
        assert demur("bundle", run_copy, "--sbom").code == 0
        texts.append((run_copy / "bundle" / SBOM_FILE).read_bytes())
    assert texts[0] == texts[1]
    assert demur("bundle", run_copy).code == 0
    assert not (run_copy / "bundle" / SBOM_FILE).exists()


def test_a_new_certificate_says_that_the_signature_is_gone(signed_run: Path) -> None:
    assert "demur sign" in recalibrate(signed_run, {}).summary[-1]
    assert not any("demur sign" in line for line in recalibrate(signed_run, {}).summary)


def test_the_bundle_says_how_it_was_made(run_copy: Path) -> None:
    (build,) = recalibrate(run_copy, {}).manifest.provenance.builds[-1:]
    assert build.packages["numpy"] == version("numpy")
