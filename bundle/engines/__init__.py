"""Inference runtimes, each behind the same session; `bundle.engines.model` is the door."""
