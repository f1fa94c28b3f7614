"""Messages stored with the change they announce, and their way to the broker."""
