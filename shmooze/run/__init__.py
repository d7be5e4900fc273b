"""Running an application: its gateway and services as processes of one supervisor."""
