"""What runs around the service: Prometheus, Alertmanager, dashboards, manifests, container images."""
