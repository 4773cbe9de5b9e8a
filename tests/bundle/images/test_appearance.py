"""Appearance of an image."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from bundle.images.appearance import appearance
from bundle.images.decode import decode


def look(image: Image.Image, encoding: str = "PNG") -> dict[str, float]:
    buffer = BytesIO()
    image.save(buffer, encoding)
    return appearance(buffer.getvalue(), decode(buffer.getvalue()))


@pytest.fixture
def picture() -> Image.Image:
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(60, 200, (12, 16, 3), dtype=np.uint8))
    return coarse.resize((320, 240), Image.Resampling.BICUBIC)


def test_each_signal_follows_what_it_is_named_after(picture: Image.Image) -> None:
    before = look(picture)
    assert look(ImageEnhance.Brightness(picture).enhance(0.4))["brightness"] < 0.6 * before["brightness"]
    assert look(ImageEnhance.Contrast(picture).enhance(0.3))["contrast"] < 0.5 * before["contrast"]
    assert look(ImageEnhance.Color(picture).enhance(0.2))["saturation"] < 0.5 * before["saturation"]
    noisy = np.asarray(picture) + np.random.default_rng(0).normal(0.0, 20.0, (240, 320, 3))
    sharp = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    assert look(sharp)["sharpness"] > 2.0 * look(sharp.filter(ImageFilter.GaussianBlur(2)))["sharpness"]


def test_size_and_shape_are_those_of_the_file(picture: Image.Image) -> None:
    found = look(picture, "JPEG")
    assert found["megapixels"] == pytest.approx(0.0768)
    assert found["aspect"] == pytest.approx(4 / 3)
    assert 0.0 < found["bytes_per_pixel"] < 3.0


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((40, 40, 3), np.uint8),
        np.full((40, 40, 3), 255, np.uint8),
        np.full((8, 2000, 3), 77, np.uint8),
        np.full((2000, 8, 3), 77, np.uint8),
    ],
    ids=["black", "white", "wide", "tall"],
)
def test_images_of_one_colour_have_finite_signals(pixels: NDArray[np.uint8]) -> None:
    found = look(Image.fromarray(pixels))
    assert all(np.isfinite(value) for value in found.values())
    assert found["contrast"] == pytest.approx(0.0, abs=1e-6)
    assert found["sharpness"] == pytest.approx(0.0, abs=1e-6)
