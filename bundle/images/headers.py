"""The headers of JPEG, PNG and WEBP, read without decoding a pixel.

`read_header` finds the format of a byte string and its number of pixels, and passes on only the parts
that a decoder needs: metadata, comments, colour profiles and animations never reach it. So the cost of
an upload is known, and bounded, before any decoder runs.
"""

from __future__ import annotations

from bundle.images.encoded import EncodedImage
from bundle.images.errors import EmptyImage, ImageError, NotAnImage, UnsupportedFormat
from bundle.images.jpeg import read_jpeg
from bundle.images.png import PNG_SIGNATURE, read_png
from bundle.images.webp import read_webp


def read_header(data: bytes) -> EncodedImage:
    """Read the header of `data`; the content decides on the format, never a name or a content type.

    Raises EmptyImage, NotAnImage, UnsupportedFormat or TruncatedImage.
    """
    if not data:
        raise EmptyImage("the image has 0 bytes")
    if data.startswith(b"\xff\xd8"):
        image = read_jpeg(data)
    elif data.startswith(PNG_SIGNATURE):
        image = read_png(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        image = read_webp(data)
    else:
        raise _unrecognised(data)
    if image.width == 0 or image.height == 0:
        raise EmptyImage(f"the {image.format} header says {image.width} x {image.height} pixels")
    return image


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
