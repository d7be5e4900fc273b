"""How a module talks to its child: a command stream and an update stream."""
