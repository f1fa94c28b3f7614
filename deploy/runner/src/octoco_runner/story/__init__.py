"""The story: one person's way through the whole system, played over HTTP and checked."""
