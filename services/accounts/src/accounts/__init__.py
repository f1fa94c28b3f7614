"""Who the user is: registration, verification, sessions, tokens."""
