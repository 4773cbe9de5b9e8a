"""The port's last moment: nobody new, and everybody who was there.

Who has connected at a port that closes before it accepts them is told "connection reset". Between the last
look for waiting clients and the close there is always a moment, a millisecond where threads share an
interpreter. So new clients are first kept from connecting: the system drops their first packet (SYN), which
they send again a second later and find the port closed: refused, but not accepted and lost.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from contextlib import suppress
from typing import Final

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
"""Of asm-generic/socket.h"""
_DROP_SYN: Final = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte of a TCP header that holds its flags
        (0x45, 0, 1, 2),  # is SYN among them?
        (0x06, 0, 0, 0),  # drop it
        (0x06, 0, 0, 0xFFFFFFFF),  # keep all of it
    )
)
"""A classic BPF program (linux/filter.h)"""


def admit_nobody_new(listener: socket.socket) -> None:
    """Keep further clients from connecting; those who are about to still do. Holds for every process that
    shares the port. Does nothing where the system has no such filter."""
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
        instructions = len(_DROP_SYN) // struct.calcsize("HBBI")
        with suppress(OSError):
            listener.setsockopt(
                socket.SOL_SOCKET,
                _SO_ATTACH_FILTER,
                struct.pack("HP", instructions, ctypes.addressof(program)),
            )


def admit_everybody(listener: socket.socket) -> None:
    """The opposite: for a port that a process which was stopped has left behind."""
    if sys.platform == "linux":
        with suppress(OSError):  # There was no filter.
            listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
