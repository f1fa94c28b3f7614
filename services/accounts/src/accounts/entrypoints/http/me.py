"""Routes for the user's own record."""

# mypy: disable-error-code="untyped-decorator"
# flask-smorest publishes no types for its decorators.

from flask_smorest import Blueprint

from accounts.domain.sessions import SessionId
from accounts.domain.users import User, UserId
from accounts.entrypoints.http.context import origin, ports
from accounts.entrypoints.http.schemas import MeSchema, UpdateMeSchema
from accounts.use_cases.get_me import get_me
from accounts.use_cases.update_me import update_me
from octoco.http import authenticated, current_user

me = Blueprint("me", __name__, url_prefix="/v1/me", description="The user's own record")


@me.get("")
@me.response(200, MeSchema)
@authenticated()
def show() -> User:
    """Show who I am."""
    user = current_user()
    return get_me(ports(), user_id=UserId(user.user_id), session_id=SessionId(user.session_id))


@me.patch("")
@me.arguments(UpdateMeSchema)
@me.response(200, MeSchema)
@authenticated()
def change(body: dict[str, str]) -> User:
    """Change my name."""
    user = current_user()
    return update_me(
        ports(),
        user_id=UserId(user.user_id),
        session_id=SessionId(user.session_id),
        full_name=body.get("full_name"),
        origin=origin(),
    )
