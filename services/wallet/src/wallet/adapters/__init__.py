"""The ports made real, and in memory for tests."""
