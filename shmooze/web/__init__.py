"""HTTP: the server with its parser, limits and responses, and the client."""
