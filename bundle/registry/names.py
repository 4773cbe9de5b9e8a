"""Names of bundles: what a person may write for a bundle of a registry."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Final

from bundle.registry.errors import BundleNotFound
from bundle.registry.generation import CHALLENGER_PREFIX, CHAMPION, PREVIOUS, Ref
from bundle.registry.keys import is_name

_PREFIX: Final = re.compile(r"[0-9a-f]{8,64}")
_SHOWN: Final = 10


def is_alias(text: str) -> bool:
    """Whether `text` can be an alias: `champion`, `previous`, or `challenger-NAME`."""
    return text in (CHAMPION, PREVIOUS) or (
        text.startswith(CHALLENGER_PREFIX) and is_name(text.removeprefix(CHALLENGER_PREFIX))
    )


def split_alias(text: str) -> tuple[str | None, str]:
    """Fleet and alias of `FLEET/ALIAS`; the fleet is None if `text` names none."""
    fleet, slash, alias = text.rpartition("/")
    return (fleet if slash else None), alias


def matching(text: str, refs: list[Ref], address: str) -> Ref:
    """The one of `refs` that `text` names: `name:version` or its beginning, a version, or the first 8 digits
    or more of a digest or a version.

    `address`: of the registry that holds `refs`. Raises BundleNotFound, which says what there is.
    """
    found = [ref for ref in refs if _means(text, ref)]
    if len(found) == 1:
        return found[0]
    if found:
        raise BundleNotFound(f"{text} may be {_listed(found)}; write more of it")
    raise BundleNotFound(f"{address} has no bundle {text[:100]!r}; {_there_is(text, refs)}")


def _means(text: str, ref: Ref) -> bool:
    version = ref.label.rpartition(":")[2]
    if ":" in text:
        return not text.endswith(":") and ref.label.startswith(text)
    return _PREFIX.fullmatch(text) is not None and (ref.digest.startswith(text) or version.startswith(text))


def _there_is(text: str, refs: list[Ref]) -> str:
    if not refs:
        return "it holds none; put one into it with `demur registry push BUNDLE`"
    near = get_close_matches(text, [ref.label for ref in refs], n=3)
    if near:
        return f"near to it: {', '.join(near)}"
    return f"it holds {_listed(refs)}; `demur registry list` shows all, with their digests"


def _listed(refs: list[Ref]) -> str:
    shown = [f"{ref.label} ({ref.digest[:12]})" for ref in refs[-_SHOWN:]]
    more = len(refs) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
