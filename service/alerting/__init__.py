"""Alerting: the signals of this service, its engine, and what people do with its alerts."""
