"""Runs the whole system on one machine and plays the demonstration."""
