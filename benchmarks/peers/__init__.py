"""One adapter for each peer; each is imported in its peer's environment only, and says how that is set up and why."""
