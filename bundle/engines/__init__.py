"""Inference runtimes, each behind the same session; `bundle.engine` is the door."""
