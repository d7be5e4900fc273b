"""Orders by priority and by owner, limits for each owner, and votes."""
