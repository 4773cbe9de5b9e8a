"""Dashboards of Grafana as data, and the code that writes their JSON into `deploy/grafana/`."""
