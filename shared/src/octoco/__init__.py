"""Mechanism shared by the services: money, units of work, messages, HTTP conventions, telemetry."""
