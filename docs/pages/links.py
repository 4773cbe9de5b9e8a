"""Links and tables of the repository's documents, as they hold on the site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

PAGES: Mapping[str, str] = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "measurements/benchmarks.md",
}
"""Document outside of docs/ -> its page"""
INDEXES: Mapping[str, str] = {"docs/adr": "adr/index.md"}
"""Folder that a document links to -> the page that lists it"""

_FENCE = re.compile(r"(^```.*?^```[^\n]*$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
_ADDRESS = re.compile(r"https?://[^\s)>\"'`]+")
_CODE_IN_ROW = re.compile(r"^\|.*`.*$", re.MULTILINE)
_SPAN = re.compile(r"`[^`\n]*`")
_OWN_HOSTS = ("127.0.0.1", "localhost", "host:", "HOST", "[::1]")


def relinked(text: str, source: Path, page: str) -> str:
    """The document with every link to another document as a link to that document's page.

    source: the document, relative to the repository; page: its own page. A link to a file that is no part
    of the site stays as it is, and building the site names it.
    """
    parts = _FENCE.split(text)
    for index in range(0, len(parts), 2):
        parts[index] = _LINK.sub(lambda link: _target(link[1], source, page), parts[index])
    return "".join(parts)


def _target(link: str, source: Path, page: str) -> str:
    name, sign, anchor = link.partition("#")
    if not name or re.match(r"[a-z]+:", name):
        return link
    path = posixpath.normpath(posixpath.join(source.parent.as_posix(), name))
    linked = PAGES.get(path) or INDEXES.get(path)
    if linked is None:
        if PurePosixPath(path).parts[0] != "docs":
            return link
        linked = posixpath.relpath(path, "docs")
    return posixpath.relpath(linked, posixpath.dirname(page) or ".") + sign + anchor


def with_pipes(text: str) -> str:
    """Tables as Python-Markdown reads them: a pipe in a span of code needs no backslash, unlike on GitHub."""
    return _CODE_IN_ROW.sub(lambda row: _SPAN.sub(lambda span: span[0].replace(r"\|", "|"), row[0]), text)


def external_links(folder: Path) -> list[str]:
    """Addresses of other hosts in the pages below `folder`, each with the pages that name it."""
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*.md"):
        for address in _ADDRESS.findall(_FENCE.sub("", path.read_text("utf-8"))):
            host = address.split("://")[1]
            if not host.startswith(_OWN_HOSTS):
                found.setdefault(address.rstrip(".,;:"), set()).add(path.relative_to(folder).as_posix())
    return [f"{address}  {', '.join(sorted(pages))}" for address, pages in sorted(found.items())]
