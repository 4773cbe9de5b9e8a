"""Listening socket at shutdown: it admits no new client, and loses none that has connected.

A client whose connection is complete when its port closes, but not accepted, gets a connection reset. Between
the last accept and the close there is always a moment: a millisecond, where threads share an interpreter. So
new clients are first kept from connecting: the kernel drops their first packet (SYN), which they send again a
second later, when the port is closed and refuses them cleanly.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from contextlib import suppress
from typing import Final

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
"""Constants of asm-generic/socket.h"""
_DROP_SYN: Final = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte of the TCP header that holds its flags
        (0x45, 0, 1, 2),  # test for SYN
        (0x06, 0, 0, 0),  # drop the packet
        (0x06, 0, 0, 0xFFFFFFFF),  # keep all of it
    )
)
"""A classic BPF program (linux/filter.h)"""


def drop_new_clients(listener: socket.socket) -> None:
    """Keep further clients from connecting; a handshake in progress completes. Holds for every process that
    shares the socket. Does nothing on a system without such filters."""
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
        instructions = len(_DROP_SYN) // struct.calcsize("HBBI")
        with suppress(OSError):
            listener.setsockopt(
                socket.SOL_SOCKET,
                _SO_ATTACH_FILTER,
                struct.pack("HP", instructions, ctypes.addressof(program)),
            )


def allow_new_clients(listener: socket.socket) -> None:
    """Remove the filter, which a worker that was stopped may have left on a shared socket."""
    if sys.platform == "linux":
        with suppress(OSError):  # There was no filter.
            listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
