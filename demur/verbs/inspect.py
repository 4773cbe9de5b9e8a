"""The verb `inspect`."""

from __future__ import annotations

from demur.output import write_json
from demur.verbs.options import AsJson, BundleFolder


def inspect(folder: BundleFolder, as_json: AsJson = False) -> None:
    """Show the certificates of a bundle, how it decides, and where it comes from.

    Example: `demur inspect runs/first/bundle`
    """
    from rich.console import Console

    from bundle.inspect import inspect_bundle, render_bundle
    from bundle.verify import verify_bundle

    if as_json:
        write_json(inspect_bundle(folder))
    else:
        render_bundle(verify_bundle(folder), Console())
