"""The private port that a verb talks to: its address and its token, from the settings of the service, and the
name of who asks."""

from __future__ import annotations

import os
from getpass import getuser
from pathlib import Path

from demur.client.private_port import PrivatePort
from demur.commands.local_address import local_url
from demur.errors import InterfaceError
from service.environment import values_of, with_env_file
from service.tokens import token_fault


class NoPrivatePort(InterfaceError, ValueError):
    """Nothing says where the private port is, or what its token is."""


class UnknownUser(InterfaceError):
    """The system has no name for this user, as in some containers."""


def user_or(given: str | None, option: str) -> str:
    """Who asks: the name that was given by `option`, or that of this user. Raises UnknownUser."""
    try:
        return given or getuser()
    except (KeyError, OSError):
        raise UnknownUser(f"the name of this user is not known here; say who asks with {option}") from None


def private_port(url: str | None, env_file: Path | None, *, timeout: float = 30.0) -> PrivatePort:
    """The port at `url`, or of the settings in the environment and the file; `timeout`: seconds per request.
    Raises NoPrivatePort."""
    environment = dict(os.environ) if env_file is None else with_env_file(os.environ, env_file)
    found = values_of(environment, ("admin_host", "admin_port", "admin_token"))
    token = found.get("admin_token", "").strip()
    if not token or token_fault(token) is not None:
        raise NoPrivatePort(
            "the token of the private port is not known; set DEMUR_ADMIN_TOKEN, or name the file of the "
            "service's settings with --env-file"
        )
    if url is None:
        port = found.get("admin_port")
        if port is None:
            raise NoPrivatePort(
                "the address of the private port is not known; give --url, or set DEMUR_ADMIN_PORT"
            )
        url = local_url(found.get("admin_host", "127.0.0.1"), port)
    try:
        return PrivatePort(url, token, timeout=timeout)
    except ValueError as error:
        raise NoPrivatePort(str(error)) from None
