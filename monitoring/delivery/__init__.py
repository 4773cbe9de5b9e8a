"""Prediction and feedback events: a log on disk first, then deliveries to the store."""
