"""Kills a service at random moments under load, and compares what it had answered with what it
still knows. See `scripts/durability --help`.
"""
