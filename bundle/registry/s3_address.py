"""Address of a registry in an object store: `s3://BUCKET/PREFIX?endpoint=URL`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from bundle.registry.errors import AddressUnusable

ENDPOINT_VARIABLES: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Where every client of S3 looks for the server, if it is not Amazon's"""

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_PREFIX: Final = re.compile(r"[A-Za-z0-9!_.*'()=+@,~-]+(/[A-Za-z0-9!_.*'()=+@,~-]+)*")


@dataclass(frozen=True, slots=True)
class S3Address:
    """A place in an object store."""

    bucket: str
    prefix: str = ""
    """Begins every key, with `/` at its end; empty: the whole bucket is the registry"""
    endpoint: str | None = None
    """URL of the server; None: Amazon's, for the region that the environment names"""
    stated: bool = False
    """Whether the address states the endpoint, and not the environment"""

    def __str__(self) -> str:
        """The address, which opens the same registry."""
        query = f"?endpoint={self.endpoint}" if self.stated else ""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/") + query


def parse_s3_address(parts: SplitResult, environment: Mapping[str, str] = os.environ) -> S3Address:
    """The place that an address with the scheme `s3` means. Raises AddressUnusable, without a password."""
    bucket, prefix = parts.netloc, parts.path.strip("/")
    if "@" in bucket:
        raise AddressUnusable(
            "an address with a password in it is refused, since addresses are logged; give the keys as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and write s3://BUCKET/PREFIX"
        )
    if not _BUCKET.fullmatch(bucket):
        raise AddressUnusable(
            f"{bucket[:100]!r} is no name of a bucket: 3 to 63 of a-z, 0-9, '.', '_' and '-'; write "
            "s3://BUCKET/PREFIX"
        )
    if prefix and not _usable(prefix):
        raise AddressUnusable(
            f"{prefix[:100]!r} is no prefix of keys: up to 500 letters, digits and !_.*'()=+@,~- in parts "
            "between '/', none of which is '.' or '..'"
        )
    stated = _options(parts).get("endpoint")
    found = (
        stated if stated is not None else next(filter(None, map(environment.get, ENDPOINT_VARIABLES)), None)
    )
    return S3Address(bucket, f"{prefix}/" if prefix else "", _endpoint(found), stated is not None)


def _usable(prefix: str) -> bool:
    parts = prefix.split("/")
    return len(prefix) <= 500 and bool(_PREFIX.fullmatch(prefix)) and not {".", ".."} & set(parts)


def _options(parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.fragment or options.keys() - {"endpoint"}:
        wrong = next(iter(options.keys() - {"endpoint"}), f"#{parts.fragment}")
        raise AddressUnusable(f"the address of a registry takes ?endpoint=URL alone, and not {wrong[:100]!r}")
    return options


def _endpoint(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc:
            return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    except ValueError:
        pass
    raise AddressUnusable(
        f"the endpoint of the registry ({' or '.join(ENDPOINT_VARIABLES)}, or ?endpoint=URL) is no URL as "
        "https://HOST:PORT without a name and a password"
    )
