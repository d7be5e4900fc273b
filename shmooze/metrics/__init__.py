"""Metrics of a queue or pool, shown to Prometheus by the gateway. See docs/how-to/operations.md."""
