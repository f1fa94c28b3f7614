"""Routes for people who are not logged in yet, and for leaving again."""

# mypy: disable-error-code="untyped-decorator"
# flask-smorest publishes no types for its decorators.

from flask_smorest import Blueprint

from accounts.domain.sessions import IssuedTokens, SessionId
from accounts.domain.users import UserId
from accounts.entrypoints.http.context import origin, ports
from accounts.entrypoints.http.schemas import (
    EmailSchema,
    LoginSchema,
    RefreshSchema,
    RegisterSchema,
    TokensSchema,
    VerificationSentSchema,
    VerifiedSchema,
    VerifyEmailSchema,
)
from accounts.use_cases.log_in import log_in
from accounts.use_cases.log_out import log_out
from accounts.use_cases.refresh_session import refresh_session
from accounts.use_cases.register_user import register_user
from accounts.use_cases.resend_verification import resend_verification
from accounts.use_cases.verify_email import verify_email
from octoco.http import authenticated, current_user

auth = Blueprint("auth", __name__, url_prefix="/v1/auth", description="Registering and logging in")


@auth.post("/register")
@auth.arguments(RegisterSchema)
@auth.response(202, VerificationSentSchema)
def register(body: dict[str, str]) -> dict[str, str]:
    """Register, or have the verification mail sent again.

    The answer is the same whether or not the address is known.
    """
    register_user(
        ports(),
        email=body["email"],
        password=body["password"],
        full_name=body["full_name"],
        origin=origin(),
    )
    return {}


@auth.post("/resend-verification")
@auth.arguments(EmailSchema)
@auth.response(202, VerificationSentSchema)
def resend(body: dict[str, str]) -> dict[str, str]:
    """Have the verification mail sent again.

    The answer is the same whether or not the address is known.
    """
    resend_verification(ports(), email=body["email"], origin=origin())
    return {}


@auth.post("/verify-email")
@auth.arguments(VerifyEmailSchema)
@auth.response(200, VerifiedSchema)
def verify(body: dict[str, str]) -> dict[str, str]:
    """Prove an address with the token from the mail."""
    verify_email(ports(), token=body["token"], origin=origin())
    return {}


@auth.post("/login")
@auth.arguments(LoginSchema)
@auth.response(200, TokensSchema)
def login(body: dict[str, str]) -> IssuedTokens:
    """Log in with address and password."""
    return log_in(ports(), email=body["email"], password=body["password"], origin=origin())


@auth.post("/refresh")
@auth.arguments(RefreshSchema)
@auth.response(200, TokensSchema)
def refresh(body: dict[str, str]) -> IssuedTokens:
    """Exchange a refresh token, which works once, for the next pair of tokens."""
    return refresh_session(ports(), refresh_token=body["refresh_token"], origin=origin())


@auth.post("/logout")
@auth.response(204)
@authenticated()
def logout() -> None:
    """End the session that the access token belongs to."""
    user = current_user()
    log_out(
        ports(),
        user_id=UserId(user.user_id),
        session_id=SessionId(user.session_id),
        origin=origin(),
    )
