"""Looking: a thread of the parent that looks once a second, and when it is woken, until it is closed."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Final

EVERY: Final = 1.0
"""Seconds between two looks without a wake-up"""


class LookingThread(ABC):
    """`start` it once the workers answer; `close` it before they end."""

    def __init__(self, name: str) -> None:
        self._woken, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def look(self) -> None:
        """Do what is to do now."""

    @abstractmethod
    def _failed(self, error: Exception) -> None:
        """Say that a look has failed; called while the error is handled."""

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread, unless it waits for the registry."""
        self._stopping.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join(1.0)

    def wake(self) -> None:
        """Look now; from any thread."""
        self._woken.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                self.look()
            except Exception as error:
                # A fault of this program, too, must leave the service able to follow.
                self._failed(error)
            self._woken.wait(EVERY)
