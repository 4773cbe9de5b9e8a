"""Channels of the rules file: one frozen model per kind, told apart by `kind`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FilePath, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError

from monitoring.alerts.notifiers.secrets import ENVIRONMENT, PlainText, Secret, SecretText, SecretUrl, Url

AddressKind = Literal["email", "phone"]
_EMAIL: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?"
)
_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_SENDER: Final = re.compile(r"\+[1-9][0-9]{6,14}|[A-Za-z0-9 ]{1,11}|MG[0-9a-f]{32}")
TWILIO: Final = "https://api.twilio.com"
_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}


def _email(value: str) -> str:
    if not _EMAIL.fullmatch(value):
        raise PydanticCustomError("email", "it is no address; write one as name@example.org")
    return value


def _phone(value: str) -> str:
    compact = re.sub(r"[ ()/-]", "", value)
    if not _PHONE.fullmatch(compact):
        raise PydanticCustomError(
            "phone", "it is no number; write one with its country, as '+49 170 1234567'"
        )
    return compact


def _kept_private(url: Secret) -> Secret:
    """Raises PydanticCustomError if what the request carries could be read on the way."""
    parts = urlsplit(url.reveal())
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise PydanticCustomError(
            "secret_plain",
            "the request carries a secret; the URL must begin with https://, except on this machine",
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


EmailAddress = Annotated[str, AfterValidator(_email)]
PhoneNumber = Annotated[str, AfterValidator(_phone)]
TimeLimit = Annotated[float, Field(ge=0.1, le=60, allow_inf_nan=False)]


class _Channel(BaseModel):
    # Errors of pydantic repeat their input, in which a secret may stand.
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    address: ClassVar[AddressKind | None] = None
    """What a person must have to be told through the channel; None: the channel has one receiver."""

    timeout: TimeLimit = 10.0
    """Seconds for one try in all, from the look-up of the name to the end of the answer."""

    def secrets(self) -> tuple[Secret, ...]:
        """Every field that may hold a secret, for `redacted`."""
        return tuple(value for _, value in self if isinstance(value, Secret))


class EmailConfig(_Channel):
    """Mail by SMTP."""

    address: ClassVar[AddressKind | None] = "email"

    kind: Literal["email"]
    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9_.:-]+$")]
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """None: 587 with starttls, 465 with tls, 25 without."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """none: plain text, for a relay on this machine or network; no password is sent over it."""
    ca_file: FilePath | None = None
    """Certificates that the server's own must descend from; None: those of the system."""
    user: PlainText | None = None
    password: SecretText | None = None
    sender: Annotated[EmailAddress, Field(alias="from")]
    to: tuple[EmailAddress, ...] = ()
    """Receivers if a step of the ladder names the channel and no person."""

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise PydanticCustomError("email_login", "user and password are given together, or neither")
        if self.password is not None and self.security == "none":
            raise PydanticCustomError(
                "email_login", "a password is not sent in plain text; security must be starttls or tls"
            )
        return self

    @property
    def used_port(self) -> int:
        """The port that is connected to."""
        return self.port or _PORTS[self.security]


class SlackConfig(_Channel):
    """An incoming webhook of Slack, or of a service that takes its form."""

    kind: Literal["slack"]
    url: Annotated[SecretUrl, AfterValidator(_kept_private)]


class SmsConfig(_Channel):
    """SMS by Twilio, or by a service that takes its form."""

    address: ClassVar[AddressKind | None] = "phone"

    kind: Literal["sms"]
    base_url: Annotated[Url, AfterValidator(_kept_private), Field(validate_default=True)] = Secret(
        TWILIO, TWILIO, ()
    )
    account: PlainText
    token: SecretText
    sender: Annotated[str, Field(alias="from")]
    """Number, name of at most 11 letters, or id of a messaging service (MG...)."""
    to: tuple[PhoneNumber, ...] = ()

    @model_validator(mode="after")
    def _check_sender(self) -> Self:
        if not _SENDER.fullmatch(self.sender):
            raise PydanticCustomError(
                "sms_from", "from must be a number as +491701234567, a name of at most 11 letters, or MG..."
            )
        return self


class WebhookConfig(_Channel):
    """Any receiver of JSON, which can check by a signature that demur sent it."""

    kind: Literal["webhook"]
    url: Url
    secret: SecretText
    """Key of the signature, 16 characters or more."""

    @model_validator(mode="after")
    def _check_secret(self) -> Self:
        if len(self.secret.reveal()) < 16:
            raise PydanticCustomError("secret_short", "secret must have at least 16 characters")
        return self


class AppriseConfig(_Channel):
    """Any of the services that apprise knows, by its URL; needs the extra `notify`."""

    kind: Literal["apprise"]
    url: SecretText
    timeout: TimeLimit = 20.0

    @model_validator(mode="after")
    def _check_installed(self) -> Self:
        if find_spec("apprise") is None:
            raise PydanticCustomError(
                "apprise", "apprise is not installed; install it with: pip install 'demur[notify]'"
            )
        return self


ChannelConfig = Annotated[
    EmailConfig | SlackConfig | SmsConfig | WebhookConfig | AppriseConfig, Field(discriminator="kind")
]
_CHANNEL: Final[TypeAdapter[ChannelConfig]] = TypeAdapter(
    ChannelConfig, config=ConfigDict(hide_input_in_errors=True)
)


def read_channel(values: Mapping[str, Any], environment: Mapping[str, str]) -> ChannelConfig:
    """One channel. Raises pydantic's ValidationError; `secrets.shown_input` says what of it may be shown."""
    return _CHANNEL.validate_python(values, context={ENVIRONMENT: environment})
