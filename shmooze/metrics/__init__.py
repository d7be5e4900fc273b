"""Metrics of a queue or pool, which the gateway shows to Prometheus. See docs/operations.md."""
