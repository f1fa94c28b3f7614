"""The doors of the service: events, HTTP and the command line."""
