"""An encoded image after its header has been read, before a pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ImageFormat = Literal["JPEG", "PNG", "WEBP"]


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """What the header says, and the bytes for the decoder."""

    format: ImageFormat
    width: int
    """Pixels as stored, before the orientation is applied."""
    height: int
    orientation: int
    """EXIF orientation, 1..8; 1 if there is none or it is invalid."""
    encoded: bytes
    """The file without metadata and without further frames, and without what follows the last scan of a JPEG
    that has no end marker."""
    has_end: bool = True
    """False if the end marker of a JPEG is missing, so that its last rows may be missing as well."""
    data_start: int | None = None
    """Position of the coded data in a JPEG of one scan"""
