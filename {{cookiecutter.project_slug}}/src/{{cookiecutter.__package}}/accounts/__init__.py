"""Accounts: who uses the service."""
