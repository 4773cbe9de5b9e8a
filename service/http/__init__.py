"""HTTP below the routes: connections, bodies, limits, request ids, quotas, observability."""
