"""Who may come in: hosts and origins, proxies, tokens, the throttle, the login form."""
