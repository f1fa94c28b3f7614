"""Bearer tokens as accounts would sign them."""

import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from octoco.http.authentication import AUDIENCE, ISSUER
from octoco.ids import new_id


class TestKeys:
    """Keys that verify tokens of `bearer`."""

    __test__ = False

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()

    def find(self, kid: str) -> Any | None:
        return self._private.public_key() if kid == "test" else None

    def bearer(self, user_id: str) -> dict[str, str]:
        """Return the header of a user who is logged in."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "sid": new_id("ses"),
            "jti": new_id("tok"),
            "type": "access",
            "roles": ["user"],
            "iat": int(time.time()),
            "exp": int(time.time()) + 900,
        }
        token = jwt.encode(claims, self._private, algorithm="EdDSA", headers={"kid": "test"})
        return {"Authorization": f"Bearer {token}"}
