"""Processes of the service: the parent, its workers and the shared listening socket."""
