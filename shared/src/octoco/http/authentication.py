"""Who is asking: access tokens signed by accounts, verified here with its public keys."""

import threading
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, ParamSpec, Protocol, TypeVar

import jwt
import requests
import structlog
from flask import Flask, g
from flask_jwt_extended import JWTManager, get_jwt, verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException, NoAuthorizationError

from octoco.errors import Unavailable
from octoco.http.problems import Problem

P = ParamSpec("P")
R = TypeVar("R")

ISSUER: Final = "octoco-accounts"
AUDIENCE: Final = "octoco"
ALGORITHMS: Final = ("EdDSA", "RS256")
KEYS_FRESH_SECONDS: Final = 300.0
# A flood of made-up key ids must not become a flood of requests to accounts.
FETCH_PAUSE_SECONDS: Final = 2.0
FETCH_TIMEOUT_SECONDS: Final = 3.0


class TokenKeys(Protocol):
    """Where the public keys of tokens come from."""

    def find(self, kid: str) -> Any | None:
        """Return the public key of this id, or None if there is none.

        Raises:
            Unavailable: no key set was ever read and none can be read now.
        """
        ...


class JwksKeys:
    """The key set that accounts publishes, kept and read again when it is old or a key is new.

    Args:
        url: Of the JWKS document (RFC 7517).
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, Any] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._lock = threading.Lock()
        self._log = structlog.get_logger("octoco.jwks")

    def find(self, kid: str) -> Any | None:
        age_seconds = time.monotonic() - self._fetched_at
        if kid not in self._keys:
            self._fetch(wait=True)
        elif age_seconds > KEYS_FRESH_SECONDS:
            # One request reads the keys again; the others go on with those in hand.
            self._fetch(wait=False)
        if not self._keys:
            raise Unavailable("Tokens cannot be checked right now.")
        return self._keys.get(kid)

    def _fetch(self, *, wait: bool) -> None:
        if time.monotonic() - self._tried_at <= FETCH_PAUSE_SECONDS:
            return
        if not self._lock.acquire(blocking=wait):
            return
        try:
            if time.monotonic() - self._tried_at <= FETCH_PAUSE_SECONDS:
                return
            self._read()
            self._tried_at = time.monotonic()
        finally:
            self._lock.release()

    def _read(self) -> None:
        try:
            answer = requests.get(self._url, timeout=FETCH_TIMEOUT_SECONDS)
            answer.raise_for_status()
            key_set = jwt.PyJWKSet.from_dict(answer.json())
        except (requests.RequestException, ValueError, jwt.PyJWTError) as error:
            self._log.warning("jwks_not_read", error=type(error).__name__)
        else:
            self._keys = {key.key_id: key.key for key in key_set.keys if key.key_id}
            self._fetched_at = time.monotonic()


@dataclass(frozen=True, slots=True)
class CurrentUser:
    """Whom the token names.

    Args:
        user_id: The person.
        roles: What they may do beyond their own things.
        session_id: The login the token belongs to.
        token_id: Of this token.
    """

    user_id: str
    roles: frozenset[str]
    session_id: str
    token_id: str


def install_authentication(app: Flask, keys: TokenKeys) -> None:
    """Let the application verify access tokens with these keys.

    Args:
        app: The application.
        keys: Public keys by `kid`.
    """
    app.config.update(
        JWT_TOKEN_LOCATION=["headers"],
        JWT_ALGORITHM=ALGORITHMS[0],
        JWT_DECODE_ALGORITHMS=list(ALGORITHMS),
        JWT_DECODE_AUDIENCE=AUDIENCE,
        JWT_DECODE_ISSUER=ISSUER,
        JWT_ERROR_MESSAGE_KEY="detail",
    )
    manager = JWTManager(app)

    @manager.decode_key_loader
    def _key(header: dict[str, Any], _claims: dict[str, Any]) -> Any:
        kid = header.get("kid")
        key = keys.find(kid) if isinstance(kid, str) else None
        if key is None:
            raise jwt.InvalidKeyError("unknown kid")
        return key


def authenticated(
    *, role: str | AbstractSet[str] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let only bearers of a valid access token into a route.

    Args:
        role: A role the token must carry as well, or several of which one is enough.

    Raises:
        Problem: 401 `token_missing`, `token_expired` or `token_invalid`; 403 `forbidden`.
    """
    needed = frozenset({role} if isinstance(role, str) else role or ())

    def decorate(route: Callable[P, R]) -> Callable[P, R]:
        @wraps(route)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            user = _verify()
            if needed and not needed & user.roles:
                raise Problem(403, "forbidden", "Your role does not allow this.")
            return route(*args, **kwargs)

        # The OpenAPI document reads this mark.
        guarded.octoco_authenticated = True  # type: ignore[attr-defined]
        return guarded

    return decorate


def current_user() -> CurrentUser:
    """Return whom the token of this request names; only within an authenticated route."""
    user: CurrentUser = g.octoco_user
    return user


def _verify() -> CurrentUser:
    try:
        verify_jwt_in_request()
        claims = get_jwt()
        user = CurrentUser(
            user_id=str(claims["sub"]),
            roles=frozenset(claims["roles"]),
            session_id=str(claims["sid"]),
            token_id=str(claims["jti"]),
        )
    except NoAuthorizationError as error:
        raise _unauthorized("token_missing", "A bearer token is needed.") from error
    except jwt.ExpiredSignatureError as error:
        raise _unauthorized("token_expired", "The token has expired.") from error
    except (JWTExtendedException, jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
        raise _unauthorized("token_invalid", "The token is not valid.") from error
    g.octoco_user = user
    return user


def _unauthorized(code: str, detail: str) -> Problem:
    return Problem(401, code, detail, headers={"WWW-Authenticate": 'Bearer realm="octoco"'})
