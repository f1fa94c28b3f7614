"""Which HTTP status each refusal of accounts is answered with."""

from collections.abc import Mapping
from typing import Final

from accounts.domain.errors import (
    EmailNotVerified,
    FreezeReasonMissing,
    InvalidCredentials,
    InvalidEmail,
    InvalidFullName,
    PasswordTooCommon,
    PasswordTooGuessable,
    PasswordTooLong,
    PasswordTooShort,
    RefreshTokenExpired,
    RefreshTokenInvalid,
    RefreshTokenReused,
    SessionRevoked,
    UnknownRole,
    UserFrozen,
    UserNotFound,
    VerificationTokenExpired,
    VerificationTokenInvalid,
    VerificationTokenUsed,
)
from octoco.errors import Refusal

REFUSAL_STATUS: Final[Mapping[type[Refusal], int]] = {
    InvalidEmail: 422,
    InvalidFullName: 422,
    PasswordTooShort: 422,
    PasswordTooLong: 422,
    PasswordTooCommon: 422,
    PasswordTooGuessable: 422,
    VerificationTokenInvalid: 422,
    VerificationTokenUsed: 409,
    VerificationTokenExpired: 410,
    InvalidCredentials: 401,
    EmailNotVerified: 403,
    RefreshTokenInvalid: 401,
    RefreshTokenExpired: 401,
    RefreshTokenReused: 401,
    SessionRevoked: 401,
    UserFrozen: 403,
    FreezeReasonMissing: 422,
    UserNotFound: 404,
    UnknownRole: 422,
}
