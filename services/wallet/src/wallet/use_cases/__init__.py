"""What the wallet does: one verb a file, on the caller's open unit of work."""
