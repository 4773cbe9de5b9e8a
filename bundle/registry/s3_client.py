"""Client of an object store: each request has a time limit, and its answer is looked at."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from time import monotonic, sleep
from typing import Any, Final, TypeVar

from bundle.registry.errors import RegistryError
from bundle.registry.s3_address import S3Address
from bundle.registry.s3_errors import NotAStore, code_of, passes, told

_SLOWEST: Final = 64 * 2**10
"""Bytes per second below which a transfer of a part is given up"""
_OPENING: Final = 60.0
"""Seconds for a client, which reads its definitions and may ask the machine for its role"""
_ATTEMPTS: Final = 3
_PAUSE: Final = 0.2
"""Seconds before another attempt, doubled each time"""
_SIGNS: Final = {
    "put_object": ("ETag",),
    "get_object": ("ETag",),
    "upload_part": ("ETag",),
    "create_multipart_upload": ("UploadId",),
    "complete_multipart_upload": ("ETag", "Location"),
    "list_objects_v2": ("IsTruncated", "KeyCount", "Name"),
}
"""Method -> fields of which a store answers at least one; the page of a proxy has none."""
_CONFIG: Final = {
    # Attempts are made here, within the time limit.
    "retries": {"mode": "standard", "total_max_attempts": 1},
    # Contents are compared by sha256 here; not every store knows the checksums that newer clients add.
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}

Answer = TypeVar("Answer")


class S3Client:
    """One bucket. Every method raises RegistryError, with the store's own failure as its cause."""

    def __init__(self, place: S3Address, timeout: float) -> None:
        """`timeout`: seconds that a request may take, without the transfer of a part."""
        self._place = place
        self._timeout = timeout
        self._lock = threading.Lock()
        self._opened: Any = None

    def request(self, what: str, method: str, size: int = 0, **arguments: Any) -> Any:
        """One request of S3's; `what`: for messages, `size`: bytes that it transfers."""

        async def call(files: Any) -> Any:
            return await self._answer(files, method, arguments)

        return self._run(what, call, size)

    def pages(self, what: str, **arguments: Any) -> Iterator[Any]:
        """Every page of a list."""
        more: dict[str, Any] = {}
        while True:
            page = self.request(what, "list_objects_v2", **arguments, **more)
            yield page
            if not page.get("IsTruncated") or not page.get("NextContinuationToken"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def piece(self, what: str, key: str, begin: int, size: int, transfers: int = 0) -> tuple[bytes, int]:
        """Up to `size` bytes of a key from `begin` on, and the size of the whole; `transfers`: bytes that the
        time limit allows for."""

        async def fetch(files: Any) -> tuple[bytes, int]:
            wanted = {"Key": key, "Range": f"bytes={begin}-{begin + size - 1}"}
            answer = await self._answer(files, "get_object", wanted)
            pieces, left = [], size
            async with answer["Body"] as body:
                while left > 0 and (piece := await body.read(left)):
                    pieces.append(piece)
                    left -= len(piece)
            return b"".join(pieces), _whole(answer, begin)

        try:
            return self._run(what, fetch, transfers)
        except RegistryError as error:
            # An empty file has no first byte.
            if error.__cause__ and code_of(error.__cause__) in ("InvalidRange", "416"):
                return b"", 0
            raise

    async def _answer(self, files: Any, method: str, arguments: dict[str, Any]) -> Any:
        answer = await files._call_s3(method, Bucket=self._place.bucket, **arguments)
        if method in _SIGNS and not any(name in answer for name in _SIGNS[method]):
            raise NotAStore
        return answer

    def _run(self, what: str, call: Callable[[Any], Awaitable[Answer]], size: int) -> Answer:
        from fsspec.asyn import sync

        limit = self._timeout + size / _SLOWEST
        due = monotonic() + limit
        for attempt in range(_ATTEMPTS):
            try:
                if (files := self._opened) is None:
                    files = self._open()
                    due = monotonic() + limit
                return sync(files.loop, call, files, timeout=max(due - monotonic(), 0.1))  # type: ignore[no-any-return]
            except Exception as error:  # of s3fs, botocore and aiohttp, which have no common root
                pause = _PAUSE * 2**attempt
                if attempt == _ATTEMPTS - 1 or not passes(error) or monotonic() + pause > due:
                    raise told(error, str(self._place), what, limit) from error
            sleep(pause)
        raise AssertionError

    def _open(self) -> Any:
        """The file system of s3fs, made once; its own retries are off, since requests have a time limit."""
        from fsspec.asyn import sync
        from s3fs import S3FileSystem

        place, config = self._place, dict(_CONFIG)
        if place.endpoint is not None:
            config["s3"] = {"addressing_style": "path"}
        with self._lock:
            if self._opened is None:
                files = S3FileSystem(
                    endpoint_url=place.endpoint,
                    config_kwargs={**config, "connect_timeout": self._timeout, "read_timeout": self._timeout},
                    skip_instance_cache=True,
                    use_listings_cache=False,
                )
                files.retries = 1
                sync(files.loop, files.set_session, timeout=_OPENING)
                self._opened = files
            return self._opened


def _whole(answer: Any, begin: int) -> int:
    """Size of the whole object, from the answer to a request of a part of it. Raises NotAStore for an answer
    that begins elsewhere."""
    of_whole = str(answer.get("ContentRange", "")).rpartition("/")[2]
    if of_whole.isdigit():
        return int(of_whole)
    if begin > 0:
        raise NotAStore
    return int(answer["ContentLength"])
