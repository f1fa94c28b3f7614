"""What the payments gateway hears and says."""
