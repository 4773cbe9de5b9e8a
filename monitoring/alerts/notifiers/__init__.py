"""Notifiers: one per way to tell a person, and the only place that holds HTTP and mail clients."""
