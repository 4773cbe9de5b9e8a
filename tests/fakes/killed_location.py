"""A registry whose user is killed at one of its operations, before or after it is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bundle.registry.location import Location


class Killed(BaseException):
    """The process is killed here; nothing after it runs, except what a test cleans up."""


class KilledLocation:
    """Passes every operation on, and counts them."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self.operations = 0
        self.kill_at: int | None = None
        """Number of the operation at which it is killed, from 0; None: never"""
        self.after = False
        """Whether the operation is done before"""
        self.only = ("create", "put")
        """Operations that count"""
        self.on: Callable[[], None] = lambda: None
        """Called after each operation that counts"""

    @property
    def address(self) -> str:
        return self._location.address

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._location, name)
        if name not in self.only:
            return function

        def operation(*given: Any) -> Any:
            number, self.operations = self.operations, self.operations + 1
            if number == self.kill_at and not self.after:
                raise Killed
            try:
                result = function(*given)
                self.on()
                return result
            finally:
                if number == self.kill_at:
                    raise Killed

        return operation
