"""The promise in production: which frames are audited, and what the monitors count."""
