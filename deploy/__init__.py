"""What runs around the service: rules of Prometheus, routes of Alertmanager, dashboards, manifests, images."""
