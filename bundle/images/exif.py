"""The orientation in EXIF metadata."""

from __future__ import annotations

import struct

_ORIENTATION_TAG, _SHORT, _MAX_TAGS = 0x0112, 3, 512


def exif_orientation(tiff: bytes) -> int:
    """The orientation, 1..8, in a TIFF structure as EXIF stores it; 1 if it cannot be read.

    See EXIF 2.32, tag 0x0112, and TIFF 6.0, section 2, for the structure.
    """
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
