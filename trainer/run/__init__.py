"""A run: its folder, its record, its console and the promise it was asked for."""
