"""What notifications listens to."""
