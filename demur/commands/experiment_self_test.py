"""`demur experiment self-test`: equal arms, dealt anew many times from the service's own log."""

from __future__ import annotations

from collections.abc import Iterator

from calibration.experiments.self_test import SelfTest


def self_test_lines(found: SelfTest) -> Iterator[str]:
    """The outcome in words and a table."""
    if found.passed:
        yield "passed: equal arms are told apart no more often than is allowed."
    else:
        yield (
            "FAILED: equal arms are told apart more often than is allowed. Units of this service are not "
            "independent: deal by something larger, such as a site instead of a camera."
        )
    yield ""
    yield (
        f"{found.ratio.deals} deals of {found.units:,} units and {found.requests:,} requests, each read "
        f"{found.looks} times."
    )
    yield ""
    yield f"{'conclusions of equal arms in':<32}{'deals':>8}{'share':>9}{'allowed':>9}"
    for one in (*found.single, found.together, found.ratio):
        fault = "" if one.within else "   too many"
        yield f"{one.name:<32}{one.found:>8}{one.share:>9.3f}{one.allowed:>9.3f}{fault}"
