"""Object store as the location of a registry: S3 and what speaks its protocol, through s3fs.

A key is created exclusively by `If-None-Match: *`. Every request has a time limit; small ones are repeated
within it. A file is downloaded and uploaded in parts, each of which may be repeated.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from time import monotonic, sleep
from typing import Any, Final, TypeVar

from bundle.extras import ExtraMissing, installed_by, remedy_of
from bundle.registry.errors import RegistryDamaged, RegistryError, RegistryUnavailable, RegistryUnfit
from bundle.registry.location import Exists, Missing, StoredObject
from bundle.registry.s3_address import S3Address
from bundle.registry.s3_errors import CONDITION_FAILED, CONFLICT, NOT_IMPLEMENTED, code_of, passes, told

PART: Final = 8 * 2**20
"""Bytes of one part of a file"""
_SLOWEST: Final = 64 * 2**10
"""Bytes per second below which a transfer of a part is given up"""
_OPENING: Final = 60.0
"""Seconds for a client, which reads its definitions and may ask the machine for its role"""
_ATTEMPTS: Final = 3
_PAUSE: Final = 0.2
"""Seconds before another attempt, doubled each time"""

Answer = TypeVar("Answer")


class S3Location:
    """A bucket, or the keys of it below a prefix."""

    def __init__(self, place: S3Address, timeout: float) -> None:
        """`timeout`: seconds that a request may take, without the transfer of a part. Raises ExtraMissing."""
        if remedy_of("s3fs") is not None:
            raise ExtraMissing(f"a registry in an object store needs s3fs; {installed_by('s3')}")
        self._place = place
        self._timeout = timeout
        self._lock = threading.Lock()
        self._opened: Any = None

    @property
    def address(self) -> str:
        """The address, without passwords."""
        return str(self._place)

    def read(self, key: str, limit: int) -> bytes:
        """See `Location.read`."""
        data, size = self._piece(key, 0, limit + 1)
        if size > limit:
            raise RegistryDamaged(f"{key} in {self.address} has more than {limit} bytes, so it is no record")
        return data

    def create(self, key: str, data: bytes) -> None:
        """See `Location.create`. Raises RegistryUnfit for a store that knows no conditions."""
        for attempt in range(_ATTEMPTS):
            try:
                self._call(f"write {key}", "put_object", Key=self._key(key), Body=data, IfNoneMatch="*")
                return
            except RegistryError as error:
                code = code_of(error.__cause__) if error.__cause__ else None
                if code in CONDITION_FAILED:
                    raise Exists(f"{key} in {self.address} is there already") from error
                if code in NOT_IMPLEMENTED:
                    raise RegistryUnfit(
                        f"{self.address} knows no conditions (If-None-Match), so two writers could both win; "
                        "use a store with conditional writes, or a folder"
                    ) from error
                if code not in CONFLICT or attempt == _ATTEMPTS - 1:
                    raise
            sleep(_PAUSE * 2**attempt)

    def put(self, key: str, data: bytes) -> None:
        """See `Location.put`."""
        self._call(f"write {key}", "put_object", len(data), Key=self._key(key), Body=data)

    def upload(self, key: str, chunks: Iterable[bytes], size: int) -> None:
        """See `Location.upload`. Nothing is committed before the last of `chunks` has come."""
        if size <= PART:
            self.put(key, b"".join(chunks))
            return
        where: dict[str, Any] = {"Key": self._key(key)}
        begun = self._call(f"write {key}", "create_multipart_upload", **where)
        where["UploadId"] = begun["UploadId"]
        try:
            done = [
                {"PartNumber": number, "ETag": self._upload_part(key, where, number, part)}
                for number, part in enumerate(_parts(chunks), 1)
            ]
            self._call(
                f"write {key}", "complete_multipart_upload", size, **where, MultipartUpload={"Parts": done}
            )
        except BaseException:
            # Parts that stay are no file; the store's own rules remove them in the end.
            with suppress(RegistryError):
                self._call(f"write {key}", "abort_multipart_upload", **where)
            raise

    def download(self, key: str) -> Iterator[bytes]:
        """See `Location.download`."""
        begin, size = 0, 1
        while begin < size:
            data, size = self._piece(key, begin, PART, of_file=True)
            if not data and begin < size:
                raise RegistryUnavailable(f"cannot read {key}: {self.address} sent nothing; try again")
            begin += len(data)
            yield data

    def names(self, prefix: str) -> list[str]:
        """See `Location.names`."""
        begin = self._key(f"{prefix}/")
        found: set[str] = set()
        for page in self._pages(prefix, Prefix=begin, Delimiter="/"):
            found.update(one["Prefix"][len(begin) :].rstrip("/") for one in page.get("CommonPrefixes", ()))
            found.update(one["Key"][len(begin) :] for one in page.get("Contents", ()))
        return sorted(found - {""})

    def objects(self, prefix: str) -> list[StoredObject]:
        """See `Location.objects`."""
        root = len(self._place.prefix)
        return [
            StoredObject(one["Key"][root:], int(one["Size"]), _time(one.get("LastModified")))
            for page in self._pages(prefix, Prefix=self._key(f"{prefix}/"))
            for one in page.get("Contents", ())
        ]

    def delete(self, key: str) -> None:
        """See `Location.delete`."""
        with suppress(Missing):
            self._call(f"delete {key}", "delete_object", Key=self._key(key))

    def _key(self, key: str) -> str:
        return self._place.prefix + key

    def _upload_part(self, key: str, where: dict[str, Any], number: int, part: bytes) -> str:
        answer = self._call(f"write {key}", "upload_part", len(part), **where, PartNumber=number, Body=part)
        return str(answer["ETag"])

    def _pages(self, prefix: str, **arguments: Any) -> Iterator[Any]:
        more: dict[str, Any] = {}
        while True:
            page = self._call(f"list {prefix}", "list_objects_v2", **arguments, **more)
            yield page
            if not page.get("IsTruncated") or not page.get("NextContinuationToken"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _piece(self, key: str, begin: int, size: int, *, of_file: bool = False) -> tuple[bytes, int]:
        """Up to `size` bytes of a key from `begin` on, and the size of the whole; `of_file`: they may take as
        long as a part does."""

        async def fetch(files: Any) -> tuple[bytes, int]:
            wanted = f"bytes={begin}-{begin + size - 1}"
            answer = await files._call_s3(
                "get_object", Bucket=self._place.bucket, Key=self._key(key), Range=wanted
            )
            pieces, left = [], size
            async with answer["Body"] as body:
                while left > 0 and (piece := await body.read(left)):
                    pieces.append(piece)
                    left -= len(piece)
            return b"".join(pieces), _whole(answer)

        try:
            return self._run(f"read {key}", fetch, size if of_file else 0)
        except RegistryError as error:
            # An empty file has no first byte.
            if error.__cause__ and code_of(error.__cause__) in ("InvalidRange", "416"):
                return b"", 0
            raise

    def _call(self, what: str, method: str, size: int = 0, **arguments: Any) -> Any:
        """One request; `size`: bytes that it transfers."""

        async def call(files: Any) -> Any:
            return await files._call_s3(method, Bucket=self._place.bucket, **arguments)

        return self._run(what, call, size)

    def _run(self, what: str, call: Callable[[Any], Awaitable[Answer]], size: int) -> Answer:
        """The answer to a request; a failure is one of the registry, with the store's own as its cause."""
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
                    raise told(error, self.address, what, limit) from error
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


_CONFIG: Final = {
    "retries": {"mode": "standard", "total_max_attempts": 1},
    # Contents are compared by sha256 here; not every store knows the checksums that newer clients add.
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}


def _parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    part = bytearray()
    for chunk in chunks:
        part += chunk
        while len(part) >= PART:
            yield bytes(part[:PART])
            del part[:PART]
    if part:
        yield bytes(part)


def _whole(answer: Any) -> int:
    """Size of the whole object, from the answer to a request of a part of it."""
    of_whole = str(answer.get("ContentRange", "")).rpartition("/")[2]
    return int(of_whole) if of_whole.isdigit() else int(answer["ContentLength"])


def _time(modified: object) -> float:
    return modified.timestamp() if isinstance(modified, datetime) else 0.0
