"""The listening socket at shutdown."""

from __future__ import annotations

import socket
import sys

import pytest

from service.process.listener import allow_new_clients, drop_new_clients


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
def test_new_clients_are_kept_out_and_connected_ones_are_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address, timeout=120) as early:
            drop_new_clients(listener)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.3)
            early.sendall(b"still heard")
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.recv(100) == b"still heard"
        allow_new_clients(listener)
        allow_new_clients(listener)
        with socket.create_connection(address, timeout=120):
            listener.accept()[0].close()
