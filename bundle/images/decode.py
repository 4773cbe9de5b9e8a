"""Decoding: the one way in which an encoded image becomes an array, offline and online.

A certificate holds for these choices:
- JPEG is decoded at the smallest scale (1, 1/2, 1/4, 1/8) that is still at least the target size.
- Transparent pixels are composited on white, as viewers show them.
- An animation is refused, since no calibration image is one; a single frame is an image.
- A JPEG without its end marker is decoded if none of its pixels is missing.
- 16-bit samples keep their high byte. CMYK is converted without a colour profile.
- EXIF orientation is applied; all other metadata is ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from bundle.images.encoded import EncodedImage, ImageFormat
from bundle.images.errors import (
    TooFewPixels,
    TooManyBytes,
    TooManyPixels,
    TruncatedImage,
    UnsupportedFormat,
)
from bundle.images.headers import read_header
from bundle.images.jpeg import coded_part

PixelArray = NDArray[np.uint8]
"""[H, W, 3], RGB, C-contiguous"""

_DECODERS: dict[ImageFormat, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
}


_JPEG_END: Final = b"\xff\xd9"
_FILLINGS: Final = tuple(
    pattern * 1024 for pattern in (b"\x55", b"\xaa", b"\x00", b"\x96\x2d\xb4", b"\x3c\xe1\x0f")
)
_ALLOCATED: Final = re.compile(rb"\x00{4,}\Z")
_UNFILLED: Final = ((128, 128, 128), (64, 64, 64), (63, 63, 63))
"""Zero coefficients as colours: grey and YCbCr; CMYK"""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Limits on the images that a caller accepts, checked before any decoder runs. Raises ValueError."""

    max_bytes: int = 20 * 2**20
    max_pixels: int = 36_000_000
    """Above one 8K frame. Decoding takes about 8 bytes of memory per pixel, less for a scaled JPEG."""
    min_side: int = 8
    """Pixels; no stage has a smaller input, and no photograph is smaller."""
    formats: frozenset[ImageFormat] = field(default_factory=lambda: frozenset(get_args(ImageFormat)))

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "min_side"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be at least 1")
        unknown = sorted(self.formats - set(get_args(ImageFormat)))
        if unknown or not self.formats:
            raise ValueError(f"formats is {sorted(self.formats)}; choose among {get_args(ImageFormat)}")


DEFAULT_LIMITS = DecodeLimits()


def decode(
    data: bytes, limits: DecodeLimits = DEFAULT_LIMITS, target: tuple[int, int] | None = None
) -> PixelArray:
    """Decode one image to RGB pixels, uint8 [H, W, 3].

    `target` is the largest (height, width) that the image will be resized to: a JPEG may then be decoded
    smaller than it is stored, but never smaller than the target. Raises an `ImageError` and no other
    exception, for any bytes.
    """
    if len(data) > limits.max_bytes:
        raise TooManyBytes(len(data), limits.max_bytes)
    header = read_header(data)
    if header.format not in limits.formats:
        accepted = ", ".join(sorted(limits.formats))
        raise UnsupportedFormat(f"the image is {header.format}; accepted here: {accepted}")
    if header.width * header.height > limits.max_pixels:
        raise TooManyPixels(header.width, header.height, limits.max_pixels)
    if min(header.width, header.height) < limits.min_side:
        raise TooFewPixels(header.width, header.height, limits.min_side)
    try:
        pixels = _decode_pixels(header, target)
    except MemoryError:
        raise
    except Exception as error:  # the decoders raise a dozen types for damaged files
        raise TruncatedImage(f"the {header.format} is truncated or damaged: {error}") from error
    return np.ascontiguousarray(_upright(pixels, header.orientation))


def _decode_pixels(header: EncodedImage, target: tuple[int, int] | None) -> PixelArray:
    if not header.has_end:
        return _decode_if_whole(header, header.encoded, target)
    pixels = _decode_bytes(header, header.encoded, target)
    if header.format == "JPEG" and _may_lack_rows(pixels) and (coded := coded_part(header)) is not None:
        return _decode_if_whole(header, coded, target)
    return pixels


def _may_lack_rows(pixels: PixelArray) -> bool:
    """Whether a decoded JPEG ends as one whose data end too early: with zero coefficients."""
    return tuple(pixels[-1, -1].tolist()) in _UNFILLED


def _decode_if_whole(header: EncodedImage, coded: bytes, target: tuple[int, int] | None) -> PixelArray:
    """The pixels of a JPEG; `coded`: without its end marker. Raises ValueError if some pixels are missing."""
    # The fillings are read in place of whatever is missing. Two of them differ in every bit, so the pixels
    # are all equal only if none is read; the others make it unlikely that clipping hides a difference.
    # Zeros at the end are those of a file that was allocated in full.
    held = _ALLOCATED.sub(b"", coded).removesuffix(b"\xff")
    pixels = _decode_bytes(header, held + _FILLINGS[0] + _JPEG_END, target)
    for filling in _FILLINGS[1:]:
        if not np.array_equal(pixels, _decode_bytes(header, held + filling + _JPEG_END, target)):
            raise ValueError("its last rows are missing")
    return pixels


def _decode_bytes(header: EncodedImage, encoded: bytes, target: tuple[int, int] | None) -> PixelArray:
    # The plugin's class instead of Image.open: the format is known, and neither other plugins nor
    # process-wide warnings take part.
    with _DECODERS[header.format](BytesIO(encoded)) as image:
        if image.size != (header.width, header.height):
            raise ValueError(f"the data hold {image.size} pixels, the header says otherwise")
        if target is not None:
            height, width = target if header.orientation < 5 else target[::-1]
            image.draft(None, (width, height))
        image.load()
        return _to_rgb(image)


def _to_rgb(image: Image.Image) -> PixelArray:
    if image.mode.startswith("I"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    # Converting an RGB image to RGB would copy it.
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _upright(pixels: PixelArray, orientation: int) -> PixelArray:
    """Undo the camera's rotation and mirroring (EXIF 2.32, tag 0x0112)."""
    if orientation in (2, 4):
        return pixels[:, ::-1] if orientation == 2 else pixels[::-1]
    if orientation in (5, 7):
        transposed = pixels.transpose(1, 0, 2)
        return transposed if orientation == 5 else transposed[::-1, ::-1]
    quarter_turns = {1: 0, 3: 2, 6: -1, 8: 1}[orientation]
    return np.rot90(pixels, quarter_turns)
