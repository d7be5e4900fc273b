"""Starting, watching and ending processes. Nothing here knows about modules."""
