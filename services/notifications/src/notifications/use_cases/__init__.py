"""One verb per file: what notifications does when something happened."""
