"""`traceparent`: the trace id of a valid header, and nothing of another."""

from __future__ import annotations

import pytest

from service.http.trace_context import trace_id_of

TRACE, PARENT = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"


@pytest.mark.parametrize(
    "header",
    [
        b"00-%b-%b-01" % (TRACE, PARENT),
        b"00-%b-%b-00" % (TRACE, PARENT),
        b" 00-%b-%b-01\t" % (TRACE, PARENT),
        b"cc-%b-%b-01" % (TRACE, PARENT),
        b"cc-%b-%b-01-what-a-later-version-adds" % (TRACE, PARENT),
    ],
)
def test_a_valid_header_names_its_trace(header: bytes) -> None:
    assert trace_id_of(header) == TRACE.decode()


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"00",
        TRACE,
        b"00-%b-%b" % (TRACE, PARENT),
        b"00-%b-%b-01-more" % (TRACE, PARENT),
        b"00-%b-%b-1" % (TRACE, PARENT),
        b"00-%b-%b-0x" % (TRACE, PARENT),
        b"ff-%b-%b-01" % (TRACE, PARENT),
        b"cc-%b-%b-01.more" % (TRACE, PARENT),
        b"00-%b-%b-01" % (TRACE.upper(), PARENT),
        b"00-%b-%b-01" % (TRACE[:-1], PARENT),
        b"00-%b-%b-01" % (b"0" * 32, PARENT),
        b"00-%b-%b-01" % (TRACE, b"0" * 16),
        b"00-%b-%b-01\n" % (TRACE, PARENT) + b"x",
        b"00-" + "٣".encode() * 16 + b"-%b-01" % PARENT,
        b"0" * 100_000,
    ],
)
def test_a_malformed_header_is_ignored(header: bytes) -> None:
    assert trace_id_of(header) is None
