"""Verification of a bundle's signature in the OpenSSF model-signing form; see docs/adr/0028."""
