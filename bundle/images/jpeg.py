"""The header of a JPEG: segments up to the first scan (ITU-T T.81, annex B)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bundle.images.encoded import EncodedImage
from bundle.images.errors import TruncatedImage, UnsupportedFormat
from bundle.images.exif import exif_orientation

_SOI, _EOI, _SOS, _DQT, _DHT, _DRI = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD
_APP_JFIF, _APP_EXIF, _APP_ADOBE = 0xE0, 0xE1, 0xEE
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, 0xCC}
_FRAME_REFUSED = {3: "lossless", 5: "hierarchical", 6: "hierarchical", 7: "lossless"}
_TABLES = frozenset({_DQT, _DHT, _DRI})

_MAX_SEGMENTS = 2048
"""Segments before the first scan; photographs have about 20, or up to 300 with large metadata."""
_MAX_FILL = 64
"""Fill bytes before one marker."""
_MAX_SCANS = 100
"""Each scan is a pass over all pixels, however few its bytes; progressive photographs have ten."""


def read_jpeg(data: bytes) -> EncodedImage:
    """The header of a JPEG that begins with its start marker. Raises UnsupportedFormat or TruncatedImage."""
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
            return EncodedImage("JPEG", frame.width, frame.height, orientation or 1, b"".join((*parts, rest)))
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
        """False if the first scan, by its header, holds everything: decoders stop after it."""
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
    # Within coded data a byte 0xFF is always followed by 0, so these bytes are markers.
    scans = 1 + data.count(b"\xff\xda", first)
    if scans > _MAX_SCANS:
        raise UnsupportedFormat(f"the JPEG has {scans} scans; at most {_MAX_SCANS} are decoded")
