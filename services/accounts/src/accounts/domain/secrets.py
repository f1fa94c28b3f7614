"""Bearer secrets: long random texts of which only the hash is kept."""

import hashlib
import secrets

_RANDOM_BYTES = 32


def new_secret(prefix: str) -> str:
    """Make a secret of 256 random bits that says by its prefix what it is for."""
    return f"{prefix}_{secrets.token_urlsafe(_RANDOM_BYTES)}"


def hash_secret(secret: str) -> str:
    """Return the SHA-256 of a secret, in hex.

    A slow hash would add nothing: 256 random bits cannot be guessed from a fast one.
    """
    return hashlib.sha256(secret.encode()).hexdigest()
