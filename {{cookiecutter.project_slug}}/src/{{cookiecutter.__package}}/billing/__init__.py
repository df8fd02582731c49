"""Billing: payments, the memberships that they pay for, and orders."""
