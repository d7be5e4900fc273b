"""What the gateway tells about the application: its description, and a page to read it."""
