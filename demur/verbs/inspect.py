"""The verb `inspect`."""

from __future__ import annotations

import sys

from demur.verbs.options import AsJson, BundleFolder


def inspect(folder: BundleFolder, as_json: AsJson = False) -> None:
    """Show the certificates of a bundle, how it decides, and where it comes from.

    Example: `demur inspect runs/first/bundle`
    """
    from rich.console import Console

    from bundle.inspect import inspect_bundle, render_bundle
    from bundle.verify import verify_bundle

    if as_json:
        import orjson

        sys.stdout.buffer.write(orjson.dumps(inspect_bundle(folder), option=orjson.OPT_INDENT_2) + b"\n")
    else:
        render_bundle(verify_bundle(folder), Console())
