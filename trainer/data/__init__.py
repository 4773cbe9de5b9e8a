"""Labelled images from anywhere: sources, faults, pixels, reports, contact sheets."""
