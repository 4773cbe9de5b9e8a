"""A run: its folder, its record, its console and its promise."""
