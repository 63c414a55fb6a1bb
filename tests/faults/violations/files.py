"""Checks: files."""

# (number, name): check
CHECKS = {}
