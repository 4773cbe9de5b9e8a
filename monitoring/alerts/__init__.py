"""Alerts: rules over named signals, the states of the alerts, and the messages that people get."""
