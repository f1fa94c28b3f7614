"""Access tokens as signed JSON Web Tokens, and the key set that others check them with."""

import json
from typing import Any

import jwt
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from accounts.adapters.tokens.signing_keys import SigningKey, SigningKeys
from accounts.domain.sessions import AccessClaims

ISSUER = "octoco-accounts"
AUDIENCE = "octoco"


class SignedAccessTokens:
    """See `accounts.use_cases.ports.AccessTokens`.

    Source: RFC 7519 (JWT), RFC 8037 (EdDSA), RFC 7517 (JWK).
    """

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys

    def sign(self, claims: AccessClaims) -> str:
        key = self._keys.current
        payload = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": claims.user_id,
            "sid": claims.session_id,
            "jti": claims.token_id,
            "roles": [role.value for role in claims.roles],
            "type": "access",
            "iat": int(claims.issued_at.timestamp()),
            "exp": int(claims.expires_at.timestamp()),
        }
        return jwt.encode(
            payload, key.private_key, algorithm=key.algorithm, headers={"kid": key.key_id}
        )


def key_set(keys: SigningKeys) -> dict[str, Any]:
    """Return the public halves of every key as a JSON Web Key Set."""
    return {"keys": [_public_jwk(key) for key in keys.all]}


def _public_jwk(key: SigningKey) -> dict[str, Any]:
    public_key = key.private_key.public_key()
    if key.algorithm == "EdDSA":
        jwk = OKPAlgorithm.to_jwk(public_key)  # type: ignore[arg-type]
    else:
        jwk = RSAAlgorithm.to_jwk(public_key)  # type: ignore[arg-type]
    return {**json.loads(jwk), "kid": key.key_id, "use": "sig", "alg": key.algorithm}
