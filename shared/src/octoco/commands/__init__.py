"""The commands that every service's operators have, beside those that start its processes."""
