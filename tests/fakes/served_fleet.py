"""Services that follow one fleet of a registry, with one store: they can be killed, and started again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import httpx
from fakes.service_process import ServiceProcess
from fakes.waiting import eventually
from harness.processes import free_ports

TOKEN: Final = "a-token-of-the-fleet-0123456789"


class ServedFleet:
    """A context manager: inside, the services of `fleet` answer, each on a port that it keeps."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], fleet: str, *, services: int = 3, **settings: Any
    ) -> None:
        """`environment`: variables that say where registry and store are. `settings`: further ones of every
        service."""
        self._folder = folder
        self._environment = environment
        self._stack = ExitStack()
        self._ports = free_ports(services)
        self._settings = {
            "registry": environment["DEMUR_REGISTRY"],
            "redis_url": environment["DEMUR_REDIS_URL"],
            "follow": f"{fleet}/champion",
            # Nothing is timed: three services that time each bundle on two cores take half a minute.
            "engine": "onnxruntime-cpu",
            "precision": "fp32",
            "batch": 1,
            "cores": 1,
            "admin_port": 0,
            "admin_token": TOKEN,
            **settings,
        }
        self.services: list[ServiceProcess] = []

    def __enter__(self) -> Self:
        # Their starts overlap; the first line of each is waited for afterwards.
        self.services = [self._process(number) for number in range(len(self._ports))]
        try:
            for one in self.services:
                self._stack.enter_context(one)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", port) for port in self._ports]

    def kill(self, number: int) -> None:
        """End a service without notice."""
        self.services[number].process.kill()
        self.services[number].process.wait()

    def start(self, number: int, **settings: Any) -> None:
        """Start a service again, with its folder and on its port."""
        self.services[number] = self._stack.enter_context(self._process(number, **settings))

    def admin(self, number: int) -> httpx.Client:
        return self.services[number].admin(TOKEN)

    def health(self, number: int) -> dict[str, Any]:
        """What a service says of itself."""
        with self.services[number].client() as client:
            values: dict[str, Any] = client.get("/health").json()
        return values

    def states(self) -> list[dict[str, Any]]:
        """What each service says of the fleet."""
        return [self.health(number)["fleet"] for number in range(len(self.services))]

    def versions(self) -> set[str]:
        """The version that each service has as its champion."""
        return {self.health(number)["bundle"]["version"] for number in range(len(self.services))}

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until what each service says of the fleet satisfies `condition`."""
        eventually(lambda: all(condition(one) for one in self.states()))

    def _process(self, number: int, **settings: Any) -> ServiceProcess:
        name = f"service-{number}"
        given = {"port": self._ports[number], "service_name": name, **self._settings, **settings}
        return ServiceProcess(None, self._folder / name, environment=self._environment, **given)

    def _end(self) -> None:
        # All are told at once, so that their ends overlap as well.
        for one in self.services:
            if one.process.poll() is None:
                one.process.terminate()
        self._stack.close()
