"""Client of the service for Python programs."""

from demur.client.client import Client

__all__ = ["Client"]
