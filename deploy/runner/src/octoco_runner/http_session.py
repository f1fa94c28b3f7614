"""HTTP to our own addresses."""

import requests


def direct_session() -> requests.Session:
    """A session that no proxy or credentials file of this machine's user gets in between."""
    session = requests.Session()
    session.trust_env = False
    return session
