"""Checks: images."""

# (number, name): check
CHECKS = {}
