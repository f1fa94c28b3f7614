"""What accounts announces to the other services."""
