"""Show the user their own record."""

from accounts.domain.sessions import SessionId
from accounts.domain.users import User, UserId
from accounts.use_cases.ports import Ports
from accounts.use_cases.require_current_user import require_current_user


def get_me(ports: Ports, *, user_id: UserId, session_id: SessionId) -> User:
    """Return the user behind the access token.

    Raises:
        SessionRevoked: the session has ended.
        UserNotFound: nobody has the id.
        Unavailable: the database is away.
    """
    return ports.units.read(
        lambda unit: require_current_user(unit, user_id=user_id, session_id=session_id)
    )
