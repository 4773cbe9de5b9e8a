"""The installed engines, the precisions that this machine supports, and faults of the installation.

The extras [cpu] and [gpu] install the same import name: pip accepts both, the one installed last wins,
and uninstalling either breaks the other. So the installed distributions are identified by their names.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from importlib.util import find_spec

from bundle.engines.contract import (
    DEFAULT_ENGINE,
    EXTRAS,
    OPENVINO,
    PRECISIONS,
    EngineKey,
    EngineUnavailable,
)
from bundle.engines.ort import PROVIDERS
from bundle.extras import installed_by

_SAME_IMPORT_NAME = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-directml",
    "onnxruntime-rocm",
    "onnxruntime-training",
)
"""Distributions that all install the module `onnxruntime`."""
_UNKNOWN = "unknown"


def available_engines() -> tuple[str, ...]:
    """The installed engines, the usually fastest first; empty without any runtime."""
    return tuple(engine for engine in PRECISIONS if _is_here(engine))


def require_engine(engine: str) -> None:
    """Raise EngineUnavailable unless `engine` is known and installed; the message names the extra."""
    if engine not in PRECISIONS:
        raise EngineUnavailable(f"engine is {engine!r}; it must be one of {', '.join(PRECISIONS)}")
    if _is_here(engine):
        return
    offered = available_engines()
    if not offered:
        raise EngineUnavailable(f"no inference engine is installed; {installed_by(*EXTRAS.values())}")
    hint = "".join(f"; {problem}" for problem in installation_problems())
    raise EngineUnavailable(
        f"engine {engine!r} is not installed here, only {', '.join(offered)}; "
        f"{installed_by(EXTRAS[engine])}{hint}"
    )


def require_key(key: EngineKey) -> None:
    """Raise EngineUnavailable unless the engine is installed and computes at that precision here."""
    require_engine(key.engine)
    if key.precision not in PRECISIONS[key.engine]:
        raise EngineUnavailable(
            f"engine {key.engine!r} does not compute at {key.precision!r}; "
            f"it computes at {', '.join(PRECISIONS[key.engine])}"
        )
    if key.precision == "bf16" and not _openvino_has_bf16():
        raise EngineUnavailable("this CPU has no bf16 instructions (AVX-512 BF16 or AMX); use fp32 or int8")


def usable(key: EngineKey) -> bool:
    """Whether `key` is installed and this machine computes at its precision."""
    try:
        require_key(key)
    except EngineUnavailable:
        return False
    return True


def usable_keys() -> tuple[EngineKey, ...]:
    """Every engine and precision that is available here, the usually fastest engine first."""
    keys = [
        EngineKey(engine, precision) for engine in available_engines() for precision in PRECISIONS[engine]
    ]
    return tuple(key for key in keys if usable(key))


def installation_problems() -> tuple[str, ...]:
    """Faults of the installed runtimes, in plain sentences; empty if there are none."""
    found = [name for name in _SAME_IMPORT_NAME if _version(name) is not None]
    if len(found) < 2:
        return ()
    return (
        f"{' and '.join(found)} are installed together and overwrite one another: uninstall all of them, "
        "then install demur with exactly one of the extras [cpu] and [gpu]",
    )


def runtime_versions() -> tuple[str, ...]:
    """Name and version of every installed runtime, without importing one."""
    found = (runtime_version(engine) for engine in (OPENVINO, DEFAULT_ENGINE))
    return tuple(version for version in found if version != _UNKNOWN)


def runtime_version(engine: str) -> str:
    """Name and version of an engine's runtime, for example `onnxruntime 1.32.0`."""
    names = (OPENVINO,) if engine == OPENVINO else _SAME_IMPORT_NAME
    found = [f"{name} {version}" for name in names if (version := _version(name)) is not None]
    return " + ".join(found) or _UNKNOWN


def _is_here(engine: str) -> bool:
    """Whether an engine is installed; a runtime (tens of megabytes) is imported only if that is needed."""
    if engine == OPENVINO:
        return find_spec("openvino") is not None
    if find_spec("onnxruntime") is None:
        return False
    if engine == DEFAULT_ENGINE:
        return True  # every build of ONNX Runtime computes on the CPU
    import onnxruntime

    return PROVIDERS[engine] in onnxruntime.get_available_providers()


@cache
def _openvino_has_bf16() -> bool:
    from bundle.engines.openvino_cpu import capabilities

    return "BF16" in capabilities()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
