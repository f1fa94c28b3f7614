"""Hashing passwords, and knowing the ones everybody uses."""
