"""Experiments: what was started and dealt, what each arm's events say, and the watch that ends a bad arm."""
