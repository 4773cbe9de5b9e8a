"""What runs around the service: gates, Prometheus, Alertmanager, dashboards, manifests, container images."""
