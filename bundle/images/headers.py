"""The containers JPEG, PNG and WEBP, read without decoding a pixel.

`open_container` says what a byte string is and how many pixels it will become, and hands on only the
parts that a decoder needs: metadata, comments, colour profiles and animations never reach it. So what
an upload costs is known, and bounded, before any decoder runs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

ImageFormat = Literal["JPEG", "PNG", "WEBP"]


class ImageError(ValueError):
    """The bytes cannot become an image here; the message says why and names the limit, if there is one."""


class EmptyImage(ImageError):
    """No bytes at all, or an image without pixels."""


class NotAnImage(ImageError):
    """The bytes begin like no image format known here."""


class UnsupportedFormat(ImageError):
    """An image, but of a format or a variant that is not decoded here."""


class TruncatedImage(ImageError):
    """The bytes begin like an image but end early or are damaged."""


class TooManyBytes(ImageError):
    """More bytes than `limit`."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the image has {size} bytes; at most {limit} are accepted")
        self.size = size
        self.limit = limit


class TooManyPixels(ImageError):
    """More pixels than `limit`, by the header; nothing was decoded."""

    def __init__(self, width: int, height: int, limit: int) -> None:
        super().__init__(f"the image has {width} x {height} pixels; at most {limit} are accepted")
        self.width = width
        self.height = height
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Container:
    """An image file whose header has been read."""

    format: ImageFormat
    width: int
    """Pixels as stored, before the orientation is applied."""
    height: int
    orientation: int
    """EXIF orientation, 1..8; 1 where there is none or it makes no sense."""
    encoded: bytes
    """What the decoder needs: the file without metadata and further frames."""


def open_container(data: bytes) -> Container:
    """Read the header of `data`; the format is told by content, never by a name or a content type.

    Raises EmptyImage, NotAnImage, UnsupportedFormat or TruncatedImage.
    """
    if not data:
        raise EmptyImage("the image has 0 bytes")
    if data.startswith(b"\xff\xd8"):
        container = _open_jpeg(data)
    elif data.startswith(_PNG_SIGNATURE):
        container = _open_png(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        container = _open_webp(data)
    else:
        raise _unrecognised(data)
    if container.width == 0 or container.height == 0:
        raise EmptyImage(f"the {container.format} header says {container.width} x {container.height} pixels")
    return container


_OTHER_FORMATS = (
    (b"GIF8", 0, "GIF"),
    (b"BM", 0, "BMP"),
    (b"II*\0", 0, "TIFF"),
    (b"MM\0*", 0, "TIFF"),
    (b"\0\0\1\0", 0, "ICO"),
    (b"8BPS", 0, "Photoshop"),
    (b"%PDF", 0, "PDF"),
    (b"<svg", 0, "SVG"),
    (b"\0\0\0\x0cjP  ", 0, "JPEG 2000"),
    (b"\xff\x0a", 0, "JPEG XL"),
    (b"\0\0\0\x0cJXL ", 0, "JPEG XL"),
    (b"ftypavif", 4, "AVIF"),
    (b"ftyphei", 4, "HEIF"),
    (b"ftypmif1", 4, "HEIF"),
)


def _unrecognised(data: bytes) -> ImageError:
    for magic, offset, name in _OTHER_FORMATS:
        if data.startswith(magic, offset):
            return UnsupportedFormat(f"the image is {name}; JPEG, PNG and WEBP are accepted")
    return NotAnImage("the bytes are not an image; JPEG, PNG and WEBP are accepted")


# JPEG ---------------------------------------------------------------------------------------------

_SOI, _EOI, _SOS, _DQT, _DHT, _DRI = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD
_APP_JFIF, _APP_EXIF, _APP_ADOBE = 0xE0, 0xE1, 0xEE
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, 0xCC}
_FRAME_REFUSED = {3: "lossless", 5: "hierarchical", 6: "hierarchical", 7: "lossless"}
_TABLES = frozenset({_DQT, _DHT, _DRI})

_MAX_SEGMENTS = 2048
"""Before the first scan; photographs have some twenty, and up to three hundred with large metadata."""
_MAX_FILL = 64
"""Fill bytes before one marker."""
_MAX_SCANS = 100
"""Each scan is a pass over all pixels, however few bytes it takes; progressive photographs have ten."""


def _open_jpeg(data: bytes) -> Container:
    frame: _JpegFrame | None = None
    orientation: int | None = None
    parts = [data[:2]]
    position = 2
    for _ in range(_MAX_SEGMENTS):
        marker, position = _next_marker(data, position)
        if marker in (_SOI, _EOI) or marker == 0x01 or 0xD0 <= marker <= 0xD7:
            raise TruncatedImage(f"the JPEG is damaged: marker {marker:#04x} before the first scan")
        length = int.from_bytes(data[position : position + 2], "big")
        end = position + length
        if length < 2 or end > len(data):
            raise TruncatedImage("the JPEG ends, or is damaged, within its header")
        body = data[position + 2 : end]
        if marker in _FRAME_MARKERS:
            if frame is not None:
                raise TruncatedImage("the JPEG is damaged: two frame headers")
            frame = _jpeg_frame(marker, body)
            parts.append(data[position - 2 : end])
        elif marker == _SOS:
            if frame is None:
                raise TruncatedImage("the JPEG is damaged: a scan before the frame header")
            if frame.may_have_scans_after(body):
                _limit_scans(data, position)
            rest = memoryview(data)[position - 2 :]
            return Container("JPEG", frame.width, frame.height, orientation or 1, b"".join((*parts, rest)))
        elif (
            marker in _TABLES
            or (marker == _APP_JFIF and body.startswith(b"JFIF\0"))
            or (marker == _APP_ADOBE and body.startswith(b"Adobe"))
        ):
            parts.append(data[position - 2 : end])
        elif marker == _APP_EXIF and orientation is None and body.startswith(b"Exif\0\0"):
            orientation = exif_orientation(body[6:])
        position = end
    raise TruncatedImage(f"the JPEG has more than {_MAX_SEGMENTS} segments before its first scan")


def _next_marker(data: bytes, position: int) -> tuple[int, int]:
    """The marker at `position` and the position behind it."""
    if position >= len(data):
        raise TruncatedImage("the JPEG ends before its first scan")
    if data[position] != 0xFF:
        raise TruncatedImage(f"the JPEG is damaged: no marker at byte {position}")
    for after in range(position + 1, min(position + 1 + _MAX_FILL, len(data))):
        if data[after] != 0xFF:
            return data[after], after + 1
    raise TruncatedImage(f"the JPEG ends, or is damaged, at byte {position}")


@dataclass(frozen=True, slots=True)
class _JpegFrame:
    width: int
    height: int
    components: int
    progressive: bool

    def may_have_scans_after(self, first_scan: bytes) -> bool:
        """False where the first scan, by its header, holds everything: decoders stop behind it."""
        return self.progressive or first_scan[:1] != bytes([self.components])


def _jpeg_frame(marker: int, body: bytes) -> _JpegFrame:
    process = marker & 0x0F
    if process >= 8:
        raise UnsupportedFormat("the JPEG is arithmetic-coded; Huffman-coded ones are accepted")
    if process in _FRAME_REFUSED:
        raise UnsupportedFormat(
            f"the JPEG is {_FRAME_REFUSED[process]}; baseline and progressive are accepted"
        )
    if len(body) < 6:
        raise TruncatedImage("the JPEG is damaged: its frame header is too short")
    precision, height, width, components = struct.unpack_from(">BHHB", body)
    if precision != 8:
        raise UnsupportedFormat(f"the JPEG has {precision} bits a sample; 8 are accepted")
    if components not in (1, 3, 4):
        raise UnsupportedFormat(f"the JPEG has {components} components; 1, 3 or 4 are accepted")
    return _JpegFrame(width, height, components, progressive=process == 2)


def _limit_scans(data: bytes, first: int) -> None:
    # Within coded data a byte 0xFF is always followed by 0, so what is counted are markers.
    scans = 1 + data.count(b"\xff\xda", first)
    if scans > _MAX_SCANS:
        raise UnsupportedFormat(f"the JPEG has {scans} scans; at most {_MAX_SCANS} are decoded")


# PNG ----------------------------------------------------------------------------------------------

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_MAX_CHUNKS = 16384
"""Encoders write chunks of 8 KiB or more, so this is far above any file within a sane byte limit."""


def _open_png(data: bytes) -> Container:
    size: tuple[int, int] | None = None
    orientation = 1
    parts = [_PNG_SIGNATURE]
    position = len(_PNG_SIGNATURE)
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
        elif name == b"eXIf":
            orientation = exif_orientation(data[position + 8 : end - 4])
        if name in _PNG_KEPT:
            parts.append(data[position:end])
        if name == b"IEND" and size is not None:
            return Container("PNG", *size, orientation, b"".join(parts))
        position = end
    raise TruncatedImage(f"the PNG has more than {_MAX_CHUNKS} chunks")


# WEBP ---------------------------------------------------------------------------------------------


def _open_webp(data: bytes) -> Container:
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
    return Container("WEBP", width, height, _webp_orientation(data), data)


def _webp_orientation(data: bytes) -> int:
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(data):
            return 1
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == b"EXIF":
            return exif_orientation(data[position + 8 : position + 8 + length].removeprefix(b"Exif\0\0"))
        position += 8 + length + (length & 1)
    raise TruncatedImage(f"the WEBP has more than {_MAX_CHUNKS} chunks")


# EXIF ---------------------------------------------------------------------------------------------

_ORIENTATION_TAG, _SHORT, _MAX_TAGS = 0x0112, 3, 512


def exif_orientation(tiff: bytes) -> int:
    """The orientation, 1..8, in a TIFF structure as EXIF stores it; 1 where it cannot be told."""
    if tiff.startswith(b"II*\0"):
        order = "<"
    elif tiff.startswith(b"MM\0*"):
        order = ">"
    else:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, directory)
        for entry in range(min(count, _MAX_TAGS)):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, directory + 2 + 12 * entry)
            if tag == _ORIENTATION_TAG:
                return int(value) if kind == _SHORT and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
