"""Turns: who plays when not all can, because of slots, limits of types, or needs."""
