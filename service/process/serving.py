"""What a service says of itself once it answers: its addresses, and the bundle that its workers serve."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from service.lineup.deployment import Deployment

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not listened on
"""Address that stands for all of the machine's -> the one under which the machine reaches itself"""


@dataclass(frozen=True, slots=True)
class ServedBundle:
    """A loaded bundle on this machine's engine, as a worker reports it."""

    name: str
    version: str
    stages: int
    engine: str
    """Engine and precision: `onnxruntime-cpu/fp32`"""
    promise: str
    """The promise in one sentence, or why there is none"""
    may_answer: bool
    """False: it abstains on every image."""
    folder: Path = Path()
    """Where it lies"""

    @classmethod
    def of(cls, deployment: Deployment) -> Self:
        return cls(
            name=deployment.name,
            version=deployment.version,
            stages=len(deployment.batch_sizes),
            engine=deployment.engine,
            promise=deployment.promise,
            may_answer=deployment.guarantee is not None,
            folder=deployment.folder,
        )


@dataclass(frozen=True, slots=True)
class Serving:
    """A service that answers."""

    url: str
    """Address for a browser on this machine, without a slash at its end"""
    everywhere: bool
    """Whether it listens on every address of the machine"""
    admin_url: str | None
    """Address of the private port, if there is one"""
    bundle: ServedBundle
    store_note: str | None = None
    """What a person should know of the store, in a sentence"""
    fleet: str | None = None
    """The followed fleet and its generation, in words; None: none is followed"""


def listens_everywhere(listener: socket.socket) -> bool:
    """Whether a socket listens on every address of the machine."""
    return listener.getsockname()[0] in _EVERY_ADDRESS


def url_of(listener: socket.socket) -> str:
    """Address of a listening socket for a client on this machine."""
    host, port = listener.getsockname()[:2]
    host = _EVERY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
