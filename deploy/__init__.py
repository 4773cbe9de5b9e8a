"""What runs beside the service: rules of Prometheus, routes of Alertmanager, dashboards of Grafana."""
