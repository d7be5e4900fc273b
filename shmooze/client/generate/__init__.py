"""Typed classes for an application, generated from what its services say of themselves."""
