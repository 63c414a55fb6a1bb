"""Checks: devices."""

# (number, name): check
CHECKS = {}
