"""Turns: who plays at once where not everybody can: for slots, limits of types, and needs."""
