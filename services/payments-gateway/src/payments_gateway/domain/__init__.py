"""The rules and nouns of paying in and out, with no input or output."""
