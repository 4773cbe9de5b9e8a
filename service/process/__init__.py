"""Processes: the server, its supervisor and workers, and the listening socket that they share."""
