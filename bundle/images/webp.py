"""The header of a WEBP (RFC 9649)."""

from __future__ import annotations

import struct

from bundle.images.encoded import EncodedImage
from bundle.images.errors import TruncatedImage, UnsupportedFormat
from bundle.images.exif import exif_orientation

_MAX_CHUNKS = 16384


def read_webp(data: bytes) -> EncodedImage:
    """The header of a WEBP, which begins with `RIFF`. Raises UnsupportedFormat or TruncatedImage."""
    riff_size = int.from_bytes(data[4:8], "little")
    if riff_size + 8 > len(data):
        raise TruncatedImage(f"the WEBP ends early: {len(data)} of {riff_size + 8} bytes")
    if len(data) < 30:
        raise TruncatedImage("the WEBP ends within its header")
    chunk, body = data[12:16], data[20:30]
    if chunk == b"VP8X":
        width = 1 + int.from_bytes(body[4:7], "little")
        height = 1 + int.from_bytes(body[7:10], "little")
    elif chunk == b"VP8 ":
        if body[3:6] != b"\x9d\x01\x2a":
            raise TruncatedImage("the WEBP is damaged: no VP8 start code")
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", body, 6))
    elif chunk == b"VP8L":
        if body[0] != 0x2F:
            raise TruncatedImage("the WEBP is damaged: no VP8L signature")
        bits = int.from_bytes(body[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        raise UnsupportedFormat(f"the WEBP begins with chunk {chunk!r}; VP8, VP8L and VP8X are accepted")
    orientation, frames = _metadata(data)
    if frames > 1:
        raise UnsupportedFormat("the WEBP is an animation; send one of its frames")
    return EncodedImage("WEBP", width, height, orientation, data)


def _metadata(data: bytes) -> tuple[int, int]:
    """(EXIF orientation, frames of an animation), from the chunks."""
    orientation, frames = 1, 0
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(data):
            return orientation, frames
        name, length = (
            data[position : position + 4],
            int.from_bytes(data[position + 4 : position + 8], "little"),
        )
        if name == b"EXIF":
            tiff = data[position + 8 : position + 8 + length].removeprefix(b"Exif\0\0")
            orientation = exif_orientation(tiff)
        frames += name == b"ANMF"
        position += 8 + length + (length & 1)
    raise TruncatedImage(f"the WEBP has more than {_MAX_CHUNKS} chunks")
