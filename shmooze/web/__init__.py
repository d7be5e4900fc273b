"""HTTP: the server with its parser, limits and answers, and the client that asks services."""
