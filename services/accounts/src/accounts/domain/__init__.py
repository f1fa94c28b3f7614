"""The rules of identity: who a user is, what a password must be, how long a session lives."""
