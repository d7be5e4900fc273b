"""Traces of requests, commands and items, for OpenTelemetry. Needs the extra `tracing`."""
