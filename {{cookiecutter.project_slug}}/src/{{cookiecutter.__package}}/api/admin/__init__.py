"""The routes for those who run the service."""
