"""Opening of a registry by its address."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from bundle.registry.errors import AddressUnusable
from bundle.registry.folder import FolderLocation
from bundle.registry.registry import Registry
from bundle.registry.s3 import S3Location
from bundle.registry.s3_address import parse_s3_address

DEFAULT_TIMEOUT: Final = 10.0
"""Seconds that one request to the store may take"""


def open_registry(address: str, *, timeout: float = DEFAULT_TIMEOUT) -> Registry:
    """The registry at `address`: a folder, `file:///FOLDER`, or `s3://BUCKET/PREFIX`.

    `timeout`: seconds that one request to an object store may take. Nothing is read yet. Raises
    AddressUnusable, and ExtraMissing without the extra of the object store.
    """
    try:
        parts = urlsplit(address) if "://" in address else None
    except ValueError as error:
        raise AddressUnusable(f"the address of the registry cannot be read ({error}); {_ALLOWED}") from None
    if parts is None:
        if not address.strip() or "\x00" in address:
            raise AddressUnusable(f"the address of a registry is {address!r}; {_ALLOWED}")
        return Registry(FolderLocation(Path(address).expanduser()))
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path not in ("", "/"):
        return Registry(FolderLocation(Path(unquote(parts.path))))
    if parts.scheme == "s3":
        return Registry(S3Location(parse_s3_address(parts), timeout))
    raise AddressUnusable(f"{parts.scheme}://... is no address of a registry; {_ALLOWED}")


_ALLOWED: Final = "it is a folder, file:///FOLDER, or s3://BUCKET/PREFIX"
