"""The user behind an access token, as every use case of theirs begins."""

from accounts.domain.errors import SessionRevoked, UserNotFound
from accounts.domain.sessions import SessionId
from accounts.domain.users import User, UserId
from accounts.use_cases.ports import AccountsUnit


def require_current_user(
    unit: AccountsUnit, *, user_id: UserId, session_id: SessionId, lock: bool = False
) -> User:
    """Return the user whose session is alive.

    An access token outlives its session by minutes; here, where the session is at hand, it does
    not.

    Raises:
        SessionRevoked: the session has ended, or is not this user's.
        UserNotFound: nobody has the id.
    """
    session = unit.sessions.find(session_id)
    if session is None or session.user_id != user_id or session.revoked:
        raise SessionRevoked("The session has ended; log in again.")
    user = unit.users.lock(user_id) if lock else unit.users.find(user_id)
    if user is None:
        raise UserNotFound("There is no such user.")
    return user
