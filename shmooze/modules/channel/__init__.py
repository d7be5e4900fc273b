"""How a module is spoken to: a command stream and an update stream."""
