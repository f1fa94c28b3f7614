"""What the payments gateway does, one verb for each file."""
