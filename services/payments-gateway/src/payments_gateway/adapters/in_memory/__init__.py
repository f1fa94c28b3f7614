"""The ports in memory: what unit tests run on, held to the same suites as the real ones."""
