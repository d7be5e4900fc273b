"""Adapters: programs that know nothing of our streams, as modules. Each file has one `ADAPTER`."""
