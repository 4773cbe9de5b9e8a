"""Figures, pictures and tables of a finished run."""
