"""The clean-up of what has been kept for long enough."""
