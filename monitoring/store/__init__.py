"""The event store: its contract, the connection to it, and the embedded Valkey."""
