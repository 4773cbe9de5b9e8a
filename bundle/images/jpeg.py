"""The header and the scans of a JPEG (ITU-T T.81, annex B), without decoding a pixel."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Final

from bundle.images.encoded import EncodedImage
from bundle.images.errors import TruncatedImage, UnsupportedFormat
from bundle.images.exif import exif_orientation

_SOI, _EOI, _SOS, _DQT, _DHT, _DRI = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD
_APP_JFIF, _APP_EXIF, _APP_ADOBE = 0xE0, 0xE1, 0xEE
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, 0xCC}
_FRAME_REFUSED = {3: "lossless", 5: "hierarchical", 6: "hierarchical", 7: "lossless"}
_TABLES = frozenset({_DQT, _DHT, _DRI})
_END: Final = bytes([0xFF, _EOI])
_RESTARTS: Final = tuple(bytes([0xFF, marker]) for marker in range(0xD0, 0xD8))
_NEXT_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker that ends coded data: inside, 0xFF is followed by 0, by a fill byte or by a restart marker."""

_MAX_SEGMENTS = 2048
"""Segments before the first scan; photographs have about 20, or up to 300 with large metadata."""
_MAX_FILL = 64
"""Fill bytes before one marker."""
_MAX_SCANS = 100
"""Each scan is a pass over all pixels, however few its bytes; progressive photographs have ten."""
_COEFFICIENTS = 64


def read_jpeg(data: bytes) -> EncodedImage:
    """The header of a JPEG that begins with its start marker. Raises UnsupportedFormat or TruncatedImage."""
    frame: _Frame | None = None
    orientation: int | None = None
    interval = 0
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
            frame = _frame(marker, body)
            parts.append(data[position - 2 : end])
        elif marker == _SOS:
            if frame is None:
                raise TruncatedImage("the JPEG is damaged: a scan before the frame header")
            complete = _check_scans(data, position, frame, interval)
            rest = memoryview(data)[position - 2 :]
            encoded = b"".join((*parts, rest))
            return EncodedImage("JPEG", frame.width, frame.height, orientation or 1, encoded, complete)
        elif (
            marker in _TABLES
            or (marker == _APP_JFIF and body.startswith(b"JFIF\0"))
            or (marker == _APP_ADOBE and body.startswith(b"Adobe"))
        ):
            parts.append(data[position - 2 : end])
            interval = int.from_bytes(body[:2], "big") if marker == _DRI else interval
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
class _Frame:
    width: int
    height: int
    components: int
    progressive: bool
    mcus: int
    """Minimum coded units of an interleaved scan; restart markers are counted in these."""

    def may_have_scans_after(self, first_scan: bytes) -> bool:
        """False if the first scan, by its header, holds everything: decoders stop after it."""
        return self.progressive or first_scan[:1] != bytes([self.components])

    @property
    def blocks(self) -> int:
        """Blocks of 8 x 8 pixels, the smallest unit between two restart markers."""
        return -(-self.width // 8) * -(-self.height // 8)


def _frame(marker: int, body: bytes) -> _Frame:
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
    return _Frame(width, height, components, process == 2, _mcus(width, height, body[6:], components))


def _mcus(width: int, height: int, sampling: bytes, components: int) -> int:
    """Units of 8 x 8 pixels times the largest sampling factors; those of one component have no factors."""
    factors = [sampling[3 * place + 1] for place in range(components) if len(sampling) > 3 * place + 1]
    across = max((factor >> 4 for factor in factors), default=1) if components > 1 else 1
    down = max((factor & 0x0F for factor in factors), default=1) if components > 1 else 1
    return -(-width // (8 * max(1, across))) * -(-height // (8 * max(1, down)))


def _check_scans(data: bytes, first: int, frame: _Frame, interval: int) -> bool:
    """Whether the end marker is there. `first`: position of the first scan header's length; `interval`: MCUs
    between two restart markers, 0 without them.

    Raises UnsupportedFormat for too many scans, and TruncatedImage for scans without data, for more restart
    markers than the frame's size has, and for data that end before the last scan or restart interval.
    """
    header = data[first + 2 : first + int.from_bytes(data[first : first + 2], "big")]
    start = first + 2 + len(header)
    if frame.may_have_scans_after(header):
        scans = _Scans.walk(data, first)
        several, end = True, scans.end
        missing = not scans.cover(frame)
        most = scans.count * -(-frame.blocks // interval) if interval else 0
    else:
        several, end = False, len(data) - 2 if data.endswith(_END) else data.find(_END, start)
        missing = False
        most = -(-frame.mcus // interval) - 1 if interval else 0
    if data[start : start + 1] == b"\xff" and data[start + 1 : start + 2] not in (b"\0", b"\xff"):
        raise TruncatedImage("the JPEG is damaged: its first scan has no data")
    if interval:
        restarts = sum(data.count(marker, start, len(data) if end < 0 else end) for marker in _RESTARTS)
        if restarts > most:
            raise TruncatedImage(
                f"the JPEG is damaged: {restarts} restart markers, at most {most} belong to "
                f"{frame.width} x {frame.height} pixels"
            )
        missing = missing or several or restarts < most
    if end < 0 and missing:
        raise TruncatedImage("the JPEG ends before its last scan or its last restart marker")
    return end >= 0


@dataclass(slots=True)
class _Scans:
    """The scans up to the end marker, found by their markers."""

    count: int = 0
    end: int = -1
    """Position of the end marker; -1 if there is none."""
    exact: dict[int, set[int]] = field(default_factory=dict)
    """Component -> its coefficients that some scan completes (successive approximation down to bit 0)."""

    @classmethod
    def walk(cls, data: bytes, first: int) -> _Scans:
        """`first`: position of the length of the first scan's header. Raises UnsupportedFormat."""
        scans = cls()
        marker, position = _SOS, first
        for _ in range(_MAX_SEGMENTS):
            length = int.from_bytes(data[position : position + 2], "big")
            if marker == _SOS:
                scans.count += 1
                if scans.count > _MAX_SCANS:
                    raise UnsupportedFormat(
                        f"the JPEG has more than {_MAX_SCANS} scans; at most {_MAX_SCANS} are decoded"
                    )
                scans._add(data[position + 2 : position + length])
            found = _NEXT_MARKER.search(data, position + length)
            if found is None:
                return scans
            marker, position = data[found.end() - 1], found.end()
            if marker == _EOI:
                scans.end = found.start()
                return scans
        raise UnsupportedFormat(f"the JPEG has more than {_MAX_SEGMENTS} segments between its scans")

    def _add(self, header: bytes) -> None:
        count = header[0] if header else 0
        if len(header) < 4 + 2 * count:
            return
        first, last, approximation = header[1 + 2 * count : 4 + 2 * count]
        if approximation & 0x0F == 0:
            for place in range(count):
                done = self.exact.setdefault(header[1 + 2 * place], set())
                done.update(range(first, min(last, _COEFFICIENTS - 1) + 1))

    def cover(self, frame: _Frame) -> bool:
        """Whether the scans give every coefficient of every component in full precision."""
        return len(self.exact) >= frame.components and all(
            len(done) == _COEFFICIENTS for done in self.exact.values()
        )
