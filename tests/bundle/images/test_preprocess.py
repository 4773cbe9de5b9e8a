"""One resize and one normalisation, exact, and fast enough to be forgotten."""

from __future__ import annotations

from io import BytesIO
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from bundle.images.decode import decode
from bundle.images.preprocess import PreprocessSpec, decode_target, normalise, preprocess, resize


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(height=st.integers(8, 200), width=st.integers(8, 200), mode=st.sampled_from(["stretch", "crop"]))
@settings(max_examples=40, deadline=None)
def test_any_size_becomes_the_model_size(height: int, width: int, mode: str) -> None:
    spec = PreprocessSpec(height=24, width=40, resize=mode)
    tensor = preprocess(noise(height, width), spec)
    assert tensor.shape == (3, 24, 40)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous


def test_normalising_is_the_formula_to_float_precision() -> None:
    spec = PreprocessSpec(height=24, width=40)
    pixels = noise(24, 40)
    expected = (pixels / 255.0 - spec.mean) / spec.std
    assert np.abs(normalise(pixels, spec) - expected.transpose(2, 0, 1)).max() < 2e-6


def test_a_row_of_a_batch_is_filled_in_place() -> None:
    spec = PreprocessSpec(height=24, width=40)
    batch = np.full((2, 3, 24, 40), 7.0, dtype=np.float32)
    pixels = noise(24, 40)
    preprocess(pixels, spec, out=batch[1])
    assert np.array_equal(batch[1], normalise(pixels, spec))
    assert (batch[0] == 7.0).all()


def test_pixels_of_the_model_size_are_not_touched() -> None:
    pixels = noise(24, 40)
    assert resize(pixels, PreprocessSpec(height=24, width=40)) is pixels


def test_resizing_is_antialiased() -> None:
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    small = resize(stripes, PreprocessSpec(height=16, width=16))
    assert np.abs(small.astype(int) - 127).max() <= 20  # without: 127


def test_a_first_reduction_hardly_changes_the_result() -> None:
    pixels = np.asarray(Image.fromarray(noise(40, 60)).resize((1200, 800)))
    exact = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR)
    ours = resize(pixels, PreprocessSpec(height=32, width=32))
    assert np.abs(ours.astype(int) - np.asarray(exact)).max() <= 4


def test_stretch_keeps_the_edges_and_crop_cuts_them() -> None:
    pixels = np.zeros((100, 300, 3), dtype=np.uint8)
    pixels[:, :90] = pixels[:, -90:] = 255
    stretched = resize(pixels, PreprocessSpec(height=50, width=50))
    cropped = resize(pixels, PreprocessSpec(height=50, width=50, resize="crop"))
    assert stretched[25, 0, 0] == stretched[25, -1, 0] == 255
    assert cropped.max() == 0


def test_crop_of_a_tall_image_is_centred() -> None:
    pixels = np.repeat(np.arange(240, dtype=np.uint8)[:, None, None], 80, axis=1).repeat(3, axis=2)
    cropped = resize(pixels, PreprocessSpec(height=80, width=80, resize="crop"))
    assert np.abs(cropped[:, 40, 0].astype(int) - np.arange(80, 160)).max() <= 1


def test_the_decode_target_covers_every_stage() -> None:
    specs = [PreprocessSpec(height=64, width=96), PreprocessSpec(height=224, width=64)]
    assert decode_target(specs) == (224, 96)


@pytest.mark.parametrize(
    "change",
    [{"height": 0}, {"width": 10**9}, {"std": (0, 1, 1)}, {"mean": (float("nan"), 0, 0)}, {"resize": "zoom"}],
)
def test_invalid_values_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PreprocessSpec(**{"height": 224, "width": 224, **change})


def test_a_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"\(24, 41, 3\); the model needs \(24, 40, 3\)"):
        normalise(noise(24, 41), PreprocessSpec(height=24, width=40))


def _best(seconds: list[float]) -> float:
    return 1e3 * min(seconds)


def _timed(work: object, repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        began = perf_counter()
        work()  # type: ignore[operator]
        taken.append(perf_counter() - began)
    return _best(taken)


def test_normalising_costs_a_fraction_of_the_formula_written_out() -> None:
    spec = PreprocessSpec(height=224, width=224)
    pixels = noise(224, 224)
    written_out = _timed(lambda: ((pixels / 255.0 - spec.mean) / spec.std).transpose(2, 0, 1).copy(), 20)
    # 0.05 ms against 0.9 ms on an idle machine: a ratio holds on a busy one, too.
    assert _timed(lambda: normalise(pixels, spec), 100) < 0.4 * written_out


def test_a_photograph_of_twelve_megapixels_is_decoded_small() -> None:
    image = Image.fromarray(noise(188, 250)).resize((4000, 3000), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=85)
    data = buffer.getvalue()
    spec = PreprocessSpec(height=224, width=224)
    scaled = _timed(lambda: preprocess(decode(data, target=spec.size), spec), 5)
    full = _timed(lambda: preprocess(decode(data), spec), 2)
    # 17 to 20 ms against 100 ms on an idle machine: a ratio holds on a busy one, too.
    assert scaled < 0.4 * full
