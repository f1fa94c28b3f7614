"""The ways in: HTTP, worker, command line."""
