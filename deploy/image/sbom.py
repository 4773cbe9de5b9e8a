"""List of what an image holds, in the form of CycloneDX 1.6: the packages of Python and those of Debian.

    python -m deploy.image.sbom FILE

It runs inside of the image while that is built, so it says what is there, not what was asked for. The same
image gives the same bytes: there is no time and no random number in it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, distributions, version
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from packaging.utils import canonicalize_name

SPEC: Final = "1.6"
DEBIAN_STATUS: Final = Path("/var/lib/dpkg/status")
"""Debian's list of packages; another base has none"""


def bill_of_materials(status: str) -> dict[str, Any]:
    """The document; `status`: the text of Debian's list, empty if there is none."""
    components = [*_python_components(distributions()), *_debian_components(status)]
    demur = version("demur")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": _python_purl("demur", demur),
                "name": "demur",
                "version": demur,
                "purl": _python_purl("demur", demur),
            }
        },
        "components": sorted(components, key=lambda component: str(component["purl"])),
    }


def _python_components(found: Iterable[Distribution]) -> Iterator[dict[str, Any]]:
    for one in found:
        name = canonicalize_name(one.metadata["Name"])
        if name != "demur":
            key = "License-Expression"
            expression = one.metadata[key] if key in one.metadata else None  # noqa: SIM401 - no such method
            yield _component(name, one.version, _python_purl(name, one.version), expression)


def _debian_components(status: str) -> Iterator[dict[str, Any]]:
    for paragraph in status.split("\n\n"):
        fields = _fields(paragraph)
        if fields.get("Status", "").endswith(" installed"):
            name, number = fields["Package"], fields["Version"]
            purl = f"pkg:deb/debian/{quote(name)}@{quote(number, safe='')}?arch={fields['Architecture']}"
            yield _component(name, number, purl, None)


def _component(name: str, number: str, purl: str, expression: str | None) -> dict[str, Any]:
    licences = {} if expression is None else {"licenses": [{"expression": expression}]}
    return {"type": "library", "bom-ref": purl, "name": name, "version": number, "purl": purl, **licences}


def _python_purl(name: str, number: str) -> str:
    return f"pkg:pypi/{name}@{quote(number, safe='')}"


def _fields(paragraph: str) -> Mapping[str, str]:
    """Name -> value of the lines NAME: VALUE; lines that go on begin with a space and are left out."""
    lines = (line.partition(": ") for line in paragraph.splitlines() if not line.startswith(" "))
    return {name: value for name, _, value in lines}


def main() -> None:
    """Write the document of this image into the file that is named."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m deploy.image.sbom FILE")
    status = DEBIAN_STATUS.read_text(encoding="utf-8") if DEBIAN_STATUS.exists() else ""
    text = json.dumps(bill_of_materials(status), indent=1, ensure_ascii=False) + "\n"
    Path(sys.argv[1]).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
