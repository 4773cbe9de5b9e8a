"""Python client of the service."""

from demur.client.client import Client

__all__ = ["Client"]
