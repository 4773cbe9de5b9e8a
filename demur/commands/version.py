"""`demur --version`: the versions that a report of a fault needs."""

from __future__ import annotations

import platform
from importlib.metadata import version

from bundle.engines.installed import runtime_versions


def version_line() -> str:
    """`demur 0.1.0 (Python 3.11.7, onnxruntime 1.32.0)`."""
    parts = (f"Python {platform.python_version()}", *(runtime_versions() or ("no inference engine",)))
    return f"demur {version('demur')} ({', '.join(parts)})"
