"""Access control: hosts, origins, proxies, tokens, the throttle, the login form."""
