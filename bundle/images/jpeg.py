"""The header and the scans of a JPEG (ITU-T T.81, annex B), without decoding a pixel."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
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
            scans = _check_scans(data, position, frame, interval)
            kept = memoryview(data)[position - 2 : None if scans.has_end else scans.data_end]
            behind = sum(map(len, parts)) + scans.data_start - (position - 2)
            return EncodedImage(
                "JPEG",
                frame.width,
                frame.height,
                orientation or 1,
                b"".join((*parts, kept)),
                scans.has_end,
                behind if scans.alone else None,
            )
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
    sampling: Mapping[int, tuple[int, int]]
    """Component -> its horizontal and vertical sampling factors"""

    def may_have_scans_after(self, first_scan: bytes) -> bool:
        """False if the first scan, by its header, holds everything: decoders stop after it."""
        return self.progressive or first_scan[:1] != bytes([self.components])

    def units(self, components: Sequence[int]) -> int:
        """Minimum coded units of a scan of these components (A.2); restart markers are counted in these."""
        most_across = max((across for across, _ in self.sampling.values()), default=1)
        most_down = max((down for _, down in self.sampling.values()), default=1)
        across, down = 1, 1
        if len(components) == 1:
            across, down = self.sampling.get(components[0], (most_across, most_down))
        return -(-self.width * across // (8 * most_across)) * -(-self.height * down // (8 * most_down))


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
    fields = [body[at : at + 3] for at in range(6, len(body) - 2, 3)][:components]
    sampling = {name: (max(1, factors >> 4), max(1, factors & 0x0F)) for name, factors, _ in fields}
    return _Frame(width, height, components, process == 2, sampling)


def _check_scans(data: bytes, first: int, frame: _Frame, interval: int) -> _Scans:
    """The scans of a JPEG that has all of them. `first`: position of the first scan header's length;
    `interval`: minimum coded units between two restart markers, 0 without them.

    Raises UnsupportedFormat for too many scans, and TruncatedImage for a scan without data, for more restart
    markers than the frame's size has, and for data that end before the last scan or restart interval.
    """
    header = data[first + 2 : first + int.from_bytes(data[first : first + 2], "big")]
    start = first + 2 + len(header)
    scans = _Scans(frame, start, alone=not frame.may_have_scans_after(header))
    empty = data[start : start + 1] == b"\xff" and data[start + 1 : start + 2] not in (b"\0", b"\xff")
    if scans.alone and not interval and data.endswith(_END):
        scans.has_end = True  # The usual photograph has nothing to count.
    elif not (scans.alone and empty):
        scans.walk(data, first, interval)
    if empty:
        raise TruncatedImage("the JPEG is damaged: its first scan has no data")
    if not (scans.alone or scans.complete) or scans.lacks_restarts:
        raise TruncatedImage("the JPEG ends before its last scan or its last restart marker")
    return scans


@dataclass(slots=True)
class _Scans:
    """The scans up to the end marker, found by their markers."""

    frame: _Frame
    data_start: int
    """Position of the coded data of the first scan"""
    alone: bool
    """Whether there is but one scan."""
    has_end: bool = False
    """Whether the end marker is there."""
    data_end: int = 0
    """Position behind the coded data of the last scan"""
    lacks_restarts: bool = False
    """Whether a scan has fewer restart markers than its size needs."""
    _count: int = 0
    _exact: dict[int, set[int]] = field(default_factory=dict)
    """Component -> its coefficients that some scan completes (successive approximation down to bit 0)."""

    @property
    def complete(self) -> bool:
        """Whether the scans give every coefficient of every component in full precision."""
        return len(self._exact) >= self.frame.components and all(
            len(done) == _COEFFICIENTS for done in self._exact.values()
        )

    def walk(self, data: bytes, first: int, interval: int) -> None:
        """Read the scans. `first`, `interval`: as for `_check_scans`, which also names the errors."""
        marker, position = _SOS, first
        for _ in range(_MAX_SEGMENTS):
            behind = position + int.from_bytes(data[position : position + 2], "big")
            found = _NEXT_MARKER.search(data, behind)
            if marker == _DRI:
                interval = int.from_bytes(data[position + 2 : position + 4], "big")
            elif marker == _SOS:
                self.data_end = len(data) if found is None else found.start()
                components = self._add(data[position + 2 : behind])
                if interval:
                    self._count_restarts(data, behind, components, interval)
                if self.alone:
                    self.has_end = data.find(_END, self.data_end) >= 0
                    return
            if found is None:
                return
            marker, position = data[found.end() - 1], found.end()
            if marker == _EOI:
                self.has_end = True
                return
        raise UnsupportedFormat(f"the JPEG has more than {_MAX_SEGMENTS} segments between its scans")

    def _add(self, header: bytes) -> Sequence[int]:
        """The components of a scan, whose coefficients are entered; empty if its header is damaged."""
        self._count += 1
        if self._count > _MAX_SCANS:
            raise UnsupportedFormat(
                f"the JPEG has more than {_MAX_SCANS} scans; at most {_MAX_SCANS} are decoded"
            )
        count = header[0] if header else 0
        if len(header) < 4 + 2 * count:
            return ()
        components = header[1 : 1 + 2 * count : 2]
        first, last, approximation = header[1 + 2 * count : 4 + 2 * count]
        if not self.frame.progressive:
            first, last, approximation = 0, _COEFFICIENTS - 1, 0
        if approximation & 0x0F == 0:
            for component in components:
                done = self._exact.setdefault(component, set())
                done.update(range(first, min(last, _COEFFICIENTS - 1) + 1))
        return components

    def _count_restarts(self, data: bytes, start: int, components: Sequence[int], interval: int) -> None:
        most = -(-self.frame.units(components) // interval) - 1
        restarts = sum(data.count(marker, start, self.data_end) for marker in _RESTARTS)
        if restarts > most:
            raise TruncatedImage(
                f"the JPEG is damaged: {restarts} restart markers, at most {most} belong to "
                f"{self.frame.width} x {self.frame.height} pixels"
            )
        self.lacks_restarts |= restarts < most


def coded_part(image: EncodedImage) -> bytes | None:
    """A JPEG of one scan up to the end of its coded data; None if it has several scans."""
    if image.data_start is None:
        return None
    end = _NEXT_MARKER.search(image.encoded, image.data_start)
    return image.encoded[: None if end is None else end.start()]
