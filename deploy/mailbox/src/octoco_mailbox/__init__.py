"""A local mailbox: receives SMTP, keeps each mail as a file, shows them on a page."""
