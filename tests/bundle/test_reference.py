"""The file of a bundle's drift reference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.forged_bundle import forge
from fakes.tiny_bundle import tiny_draft

from bundle.loader import load_bundle
from bundle.manifest import REFERENCE_FILE, BundleTampered
from bundle.reference import MAX_IMAGES, DriftReference, read_reference
from bundle.writer import write_bundle
from calibration.drift.signals import SignalSample

KEY = "onnxruntime-cpu/fp32"


def reference(n: int = 120) -> DriftReference:
    rng = np.random.default_rng(0)
    unknown = np.full(n, np.nan)
    images = SignalSample({"brightness": rng.random(n)}, {}, unknown, rng.normal(size=(n, 3)))
    outputs = SignalSample(
        {"margin_a": np.r_[np.nan, rng.random(n - 1)]}, {"answered": rng.integers(0, 2, n)}, rng.random(n)
    )
    return DriftReference(images, {KEY: outputs})


def document(**images: Any) -> bytes:
    """A reference of one image, some of its columns replaced."""
    columns = {"numbers": {}, "categories": {}, "right": [1], "embedding": None, **images}
    return json.dumps({"images": columns, "outputs": {}}).encode()


def test_it_reads_back(tmp_path: Path) -> None:
    written = reference()
    write_bundle(replace(tiny_draft(), reference=written.to_bytes()), tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle")
    assert loaded.manifest.reference == REFERENCE_FILE
    read = loaded.reference
    assert read is not None
    assert list(read.numbers) == ["brightness", "margin_a"]
    np.testing.assert_allclose(read.numbers["brightness"], written.images.numbers["brightness"], rtol=1e-4)
    assert np.isnan(read.numbers["margin_a"][0])
    np.testing.assert_array_equal(read.answered, written.outputs[KEY].answered)
    assert read.embedding is not None
    assert read.embedding.shape == (120, 3)


def test_an_engine_without_outputs_has_the_signals_of_the_images() -> None:
    found = reference().on("openvino/int8")
    assert list(found.numbers) == ["brightness"]
    assert not found.categories


def test_a_bundle_without_one_loads(tiny_bundle: Path) -> None:
    assert load_bundle(tiny_bundle).reference is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"images": 1, "outputs": {}}',
        document(numbers={"a": [1]}, right=[]),
        document(categories={"a": [0.5]}),
        document(categories={"a": [10**40]}),
        document(embedding=[[1], [1, 2]]),
    ],
    ids=lambda content: repr(content[:24]),
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    write_bundle(replace(tiny_draft(), reference=reference().to_bytes()), tmp_path / "bundle")
    (tmp_path / "bundle" / REFERENCE_FILE).write_bytes(content)
    forge(tmp_path / "bundle")
    with pytest.raises(BundleTampered) as caught:
        load_bundle(tmp_path / "bundle")
    assert caught.value.file == REFERENCE_FILE


def test_one_that_is_too_large_is_refused() -> None:
    with pytest.raises(BundleTampered, match=str(MAX_IMAGES)):
        read_reference(reference(MAX_IMAGES + 1).to_bytes())


def test_samples_of_different_lengths_are_refused() -> None:
    content: dict[str, Any] = json.loads(reference().to_bytes())
    content["outputs"][KEY] = json.loads(reference(119).to_bytes())["outputs"][KEY]
    with pytest.raises(BundleTampered, match="119"):
        read_reference(json.dumps(content).encode())
