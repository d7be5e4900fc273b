"""Public building blocks: packets, services, the command log."""
