"""A Revio simulator: the other side of the wire, with its own store and none of our code."""
