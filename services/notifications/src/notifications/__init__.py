"""Tells people what happened: templates and deliveries, no decisions."""
