"""What a route needs besides its body: the service, and where the request came from."""

from typing import Final

from flask import Flask, current_app, request

from accounts.bootstrap import Accounts
from accounts.domain.sessions import Origin
from accounts.use_cases.ports import Ports

_EXTENSION: Final = "accounts"
_USER_AGENT_LENGTH_MAX: Final = 256


def install(app: Flask, accounts: Accounts) -> None:
    """Let the routes of this application reach the service."""
    app.extensions[_EXTENSION] = accounts


def accounts() -> Accounts:
    """Return the service behind the running application."""
    installed = current_app.extensions[_EXTENSION]
    assert isinstance(installed, Accounts)
    return installed


def ports() -> Ports:
    """Return what use cases are given."""
    return accounts().ports


def origin() -> Origin:
    """Return where the request came from, as the API gateway tells it."""
    user_agent = request.user_agent.string[:_USER_AGENT_LENGTH_MAX]
    printable = "".join(character for character in user_agent if character.isprintable())
    return Origin(address=request.remote_addr, user_agent=printable or None)
