"""Promotion of a bundle in steps that stop by themselves, and the way back."""
