"""Checks: recordings."""

# (number, name): check
CHECKS = {}
