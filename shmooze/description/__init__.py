"""Descriptions of module types: what clients may send to a module, and what it shows."""
