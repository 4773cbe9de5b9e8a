"""Logs of the service: JSON lines on a stream or in rotated files, and short lines for people."""
