"""Object store as the location of a registry: S3 and what speaks its protocol, through s3fs.

A key is created exclusively by `If-None-Match: *`. A file is downloaded and uploaded in parts, each of which
may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from time import sleep
from typing import Any, Final

from bundle.extras import ExtraMissing, installed_by, remedy_of
from bundle.registry.errors import RegistryDamaged, RegistryError, RegistryUnavailable, RegistryUnfit
from bundle.registry.location import Exists, Missing, StoredObject
from bundle.registry.s3_address import S3Address
from bundle.registry.s3_client import S3Client
from bundle.registry.s3_errors import CONDITION_FAILED, CONFLICT, NOT_IMPLEMENTED, code_of

PART: Final = 8 * 2**20
"""Bytes of one part of a file"""
_ATTEMPTS: Final = 3
_PAUSE: Final = 0.2
"""Seconds before another attempt, doubled each time"""


class S3Location:
    """A bucket, or the keys of it below a prefix."""

    def __init__(self, place: S3Address, timeout: float) -> None:
        """`timeout`: seconds that a request may take, without the transfer of a part. Raises ExtraMissing."""
        if remedy_of("s3fs") is not None:
            raise ExtraMissing(f"a registry in an object store needs s3fs; {installed_by('s3')}")
        self._place = place
        self._client = S3Client(place, timeout)

    @property
    def address(self) -> str:
        """The address, without passwords."""
        return str(self._place)

    def place(self, key: str) -> str:
        """The address of a key, as every client of object stores takes it."""
        return f"s3://{self._place.bucket}/{self._key(key)}"

    def read(self, key: str, limit: int) -> bytes:
        """See `Location.read`."""
        data, size = self._client.piece(f"read {key}", self._key(key), 0, limit + 1)
        if size > limit:
            raise RegistryDamaged(f"{key} in {self.address} has more than {limit} bytes, so it is no record")
        return data

    def create(self, key: str, data: bytes) -> None:
        """See `Location.create`. Raises RegistryUnfit for a store that knows no conditions."""
        for attempt in range(_ATTEMPTS):
            try:
                self._put(key, data, IfNoneMatch="*")
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
        self._put(key, data)

    def upload(self, key: str, chunks: Iterable[bytes], size: int) -> None:
        """See `Location.upload`. Nothing is committed before the last of `chunks` has come."""
        if size <= PART:
            self.put(key, b"".join(chunks))
            return
        what = f"write {key}"
        where: dict[str, Any] = {"Key": self._key(key)}
        where["UploadId"] = self._client.request(what, "create_multipart_upload", **where)["UploadId"]
        try:
            done = []
            for number, part in enumerate(_parts(chunks), 1):
                place: dict[str, Any] = {**where, "PartNumber": number, "Body": part}
                tag = self._client.request(what, "upload_part", len(part), **place)["ETag"]
                done.append({"PartNumber": number, "ETag": tag})
            whole: dict[str, Any] = {**where, "MultipartUpload": {"Parts": done}}
            self._client.request(what, "complete_multipart_upload", size, **whole)
        except BaseException:
            # Parts that stay are no file; the store's own rules remove them in the end.
            with suppress(RegistryError):
                self._client.request(what, "abort_multipart_upload", 0, **where)
            raise

    def download(self, key: str) -> Iterator[bytes]:
        """See `Location.download`."""
        begin, size = 0, 1
        while begin < size:
            data, size = self._client.piece(f"read {key}", self._key(key), begin, PART, PART)
            if not data and begin < size:
                raise RegistryUnavailable(f"cannot read {key}: {self.address} sent nothing; try again")
            begin += len(data)
            yield data

    def names(self, prefix: str) -> list[str]:
        """See `Location.names`."""
        begin = self._key(f"{prefix}/")
        found: set[str] = set()
        for page in self._client.pages(f"list {prefix}", Prefix=begin, Delimiter="/"):
            found.update(one["Prefix"][len(begin) :].rstrip("/") for one in page.get("CommonPrefixes", ()))
            found.update(one["Key"][len(begin) :] for one in page.get("Contents", ()))
        return sorted(found - {""})

    def objects(self, prefix: str) -> list[StoredObject]:
        """See `Location.objects`."""
        root = len(self._place.prefix)
        return [
            StoredObject(one["Key"][root:], int(one["Size"]), _time(one.get("LastModified")))
            for page in self._client.pages(f"list {prefix}", Prefix=self._key(f"{prefix}/"))
            for one in page.get("Contents", ())
        ]

    def delete(self, key: str) -> None:
        """See `Location.delete`."""
        with suppress(Missing):
            self._client.request(f"delete {key}", "delete_object", Key=self._key(key))

    def _put(self, key: str, data: bytes, **conditions: str) -> None:
        what, arguments = f"write {key}", {"Key": self._key(key), "Body": data, **conditions}
        # A record has to be written in the time of a request, a file in that of its transfer.
        self._client.request(what, "put_object", 0 if conditions else len(data), **arguments)

    def _key(self, key: str) -> str:
        return self._place.prefix + key


def _parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    part = bytearray()
    for chunk in chunks:
        part += chunk
        while len(part) >= PART:
            yield bytes(part[:PART])
            del part[:PART]
    if part:
        yield bytes(part)


def _time(modified: object) -> float:
    return modified.timestamp() if isinstance(modified, datetime) else 0.0
