"""Newsletters: who gets them, and sending one to all of them."""
