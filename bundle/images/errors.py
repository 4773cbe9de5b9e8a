"""The errors of images: why bytes cannot become an image.

ImageError (ValueError)
├── EmptyImage            no bytes, or no pixels
├── NotAnImage            no known image format
├── UnsupportedFormat     a format or variant that is not decoded
├── TruncatedImage        ends early, or is damaged
├── TooManyBytes          more bytes than the limit
├── TooManyPixels         more pixels than the limit
└── TooFewPixels          a side shorter than the limit
"""

from __future__ import annotations

from bundle.errors import BundlePackageError


class ImageError(BundlePackageError, ValueError):
    """The bytes cannot become an image; the message says why and names the limit, if there is one."""


class EmptyImage(ImageError):
    """No bytes at all, or an image without pixels."""


class NotAnImage(ImageError):
    """The first bytes are those of no known image format."""


class UnsupportedFormat(ImageError):
    """An image of a format or a variant that is not decoded."""


class TruncatedImage(ImageError):
    """The first bytes are those of an image, but the file ends early or is damaged."""


class TooManyBytes(ImageError):
    """More bytes than `limit`."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the image has {size} bytes; at most {limit} are accepted")
        self.size = size
        self.limit = limit


class TooManyPixels(ImageError):
    """More pixels than `limit`, according to the header; nothing was decoded."""

    def __init__(self, width: int, height: int, limit: int) -> None:
        super().__init__(f"the image has {width} x {height} pixels; at most {limit} are accepted")
        self.width = width
        self.height = height
        self.limit = limit


class TooFewPixels(ImageError):
    """A side shorter than `limit` pixels, according to the header; nothing was decoded."""

    def __init__(self, width: int, height: int, limit: int) -> None:
        super().__init__(
            f"the image has {width} x {height} pixels; each side must have at least {limit}, since no "
            "calibration image is as small"
        )
        self.width = width
        self.height = height
        self.limit = limit
