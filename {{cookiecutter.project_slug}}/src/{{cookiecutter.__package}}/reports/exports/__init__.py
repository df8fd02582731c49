"""Exports: all that is stored about a user, as a ZIP of JSON files."""
