"""The header of a PNG: its chunks, of which only those of the picture are kept (PNG 1.2)."""

from __future__ import annotations

import struct

from bundle.images.encoded import EncodedImage
from bundle.images.errors import TruncatedImage, UnsupportedFormat
from bundle.images.exif import exif_orientation

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_MAX_CHUNKS = 16384
"""Encoders write chunks of 8 KiB or more, so files within a usual byte limit stay far below it."""


def read_png(data: bytes) -> EncodedImage:
    """The header of a PNG, which begins with `PNG_SIGNATURE`. Raises UnsupportedFormat or TruncatedImage."""
    size: tuple[int, int] | None = None
    orientation = 1
    parts = [PNG_SIGNATURE]
    position = len(PNG_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(data):
            raise TruncatedImage("the PNG ends before its last chunk")
        length = int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            raise TruncatedImage(f"the PNG ends within a chunk of {length} bytes")
        if (size is None) != (name == b"IHDR"):
            raise TruncatedImage("the PNG is damaged: IHDR must come first, and once")
        if name == b"IHDR":
            if length != 13:
                raise TruncatedImage(f"the PNG is damaged: IHDR has {length} bytes instead of 13")
            width, height = struct.unpack_from(">II", data, position + 8)
            size = (width, height)
        elif name == b"acTL" and int.from_bytes(data[position + 8 : position + 12], "big") > 1:
            raise UnsupportedFormat("the PNG is an animation; send one of its frames")
        elif name == b"eXIf":
            orientation = exif_orientation(data[position + 8 : end - 4])
        if name in _PNG_KEPT:
            parts.append(data[position:end])
        if name == b"IEND" and size is not None:
            return EncodedImage("PNG", *size, orientation, b"".join(parts))
        position = end
    raise TruncatedImage(f"the PNG has more than {_MAX_CHUNKS} chunks")
