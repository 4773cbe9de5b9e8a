"""Failures of an object store, each in one sentence with its way out and without a key or a password."""

from __future__ import annotations

import asyncio
from typing import Final

from bundle.registry.errors import RegistryError, RegistryUnavailable
from bundle.registry.location import Missing

CONDITION_FAILED: Final = frozenset({"PreconditionFailed", "412"})
CONFLICT: Final = frozenset({"ConditionalRequestConflict", "OperationAborted", "409"})
NOT_IMPLEMENTED: Final = frozenset({"NotImplemented", "501"})
_PASSES: Final = frozenset(
    {"InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "500", "502", "503", "504"}
)
_BROKE_OFF: Final = frozenset(
    {"ClientPayloadError", "IncompleteReadError", "ConnectionClosedError", "ResponseParserError"}
)
_NO_KEY: Final = "NoSuchKey"

_CREDENTIALS: Final = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role"
)
_SENTENCES: Final = {
    "NoSuchBucket": "has no such bucket; make it, or correct the address",
    "AccessDenied": "refuses these credentials (403); they need s3:GetObject, s3:ListBucket, s3:PutObject "
    "and, for gc, s3:DeleteObject on this bucket",
    "InvalidAccessKeyId": f"does not know the access key (403); {_CREDENTIALS}",
    "SignatureDoesNotMatch": "refuses the signature (403): the secret key is not that of the access key; "
    f"{_CREDENTIALS}",
    "ExpiredToken": f"says that the credentials have expired; {_CREDENTIALS}",
    "RequestTimeTooSkewed": "says that this machine's clock is wrong; set it",
    "AuthorizationHeaderMalformed": "expects another region; set AWS_REGION to the bucket's",
    "PermanentRedirect": "says that the bucket is in another region; set AWS_REGION to it",
    "SlowDown": "asks for fewer requests; try again in a while",
    "InternalError": "failed (500); try again, and look into its log if that fails too",
    "ServiceUnavailable": "is overloaded (503); try again in a while",
    "KeyTooLongError": "takes shorter keys only; shorten the prefix in the address",
    "QuotaExceeded": "has no room; free some, for example with `demur registry gc`",
}
_NO_STORE: Final = (
    "gave an answer that is none of an object store's, as the page of a proxy is; look whether the address "
    "and the endpoint are right"
)
_BY_STATUS: Final = {
    "301": "PermanentRedirect",
    "307": "PermanentRedirect",
    "403": "AccessDenied",
    "500": "InternalError",
    "503": "ServiceUnavailable",
    "507": "QuotaExceeded",
}


class NotAStore(RegistryUnavailable):
    """An answer that is none of an object store's, as the page of a proxy is."""


def code_of(error: BaseException) -> str | None:
    """The store's code of a failure, such as `NoSuchKey` or `412`; None if the store did not answer."""
    for one in (error, error.__cause__):
        answer = getattr(one, "response", None)
        if isinstance(answer, dict):
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return str(answer.get("Error", {}).get("Code") or status)
    return None


def passes(error: Exception) -> bool:
    """Whether another attempt may succeed at once: the store failed, or broke off its answer."""
    code = code_of(error)
    return code in _PASSES if code is not None else type(error).__name__ in _BROKE_OFF


def told(error: Exception, address: str, what: str, timeout: float) -> RegistryError:
    """The error to raise for a failure of the store; `what`: what was tried, `read KEY`."""
    code = code_of(error)
    if code == _NO_KEY:
        return Missing(f"{address} has no {what.partition(' ')[2]}")
    return RegistryUnavailable(f"cannot {what}: {address} {_sentence(error, code, timeout)}")


def _sentence(error: Exception, code: str | None, timeout: float) -> str:
    if code in ("404", "None"):
        return _NO_STORE
    if code is not None:
        known = _SENTENCES.get(_BY_STATUS.get(code, code))
        return known or f"answers {code[:60]!r}; look into the log of the store"
    name = type(error).__name__
    if isinstance(error, NotAStore):
        return _NO_STORE
    if isinstance(error, asyncio.TimeoutError) or "Timeout" in name:
        return f"did not answer within {timeout:g} s; look whether it is overloaded, and try again"
    if "Credential" in name or name in ("ProfileNotFound", "TokenRetrievalError", "SSOTokenLoadError"):
        return f"needs credentials, and none were found or could be used; {_CREDENTIALS}"
    if name in ("EndpointConnectionError", "ConnectionError", "ClientConnectorError", "SSLError"):
        return "cannot be reached; look whether the address, the network and its certificate are right"
    if name in _BROKE_OFF:
        return "broke off in the middle of its answer; try again"
    if name == "NoRegionError":
        return "needs a region; set AWS_REGION"
    return f"failed ({name}); look whether address and credentials are right, and try again"
