"""Inference inside a worker: admission, threads, the queue of each stage, shadows."""
