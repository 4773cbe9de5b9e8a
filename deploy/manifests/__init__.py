"""Manifests of Kubernetes: what is generated in k8s/, and the rendered file of each overlay."""
