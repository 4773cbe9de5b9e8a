"""The port's last moment."""

from __future__ import annotations

import socket
import sys

import pytest

from service.process.listener import admit_everybody, admit_nobody_new


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
def test_nobody_new_connects_and_who_had_is_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address, timeout=5) as early:
            admit_nobody_new(listener)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.3)
            early.sendall(b"still heard")
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.recv(100) == b"still heard"
        admit_everybody(listener)
        admit_everybody(listener)
        with socket.create_connection(address, timeout=5):
            listener.accept()[0].close()
