"""The bodies that go in and out."""

from marshmallow import Schema, fields, validate

from octoco.http.schemas import StrictSchema

_SECRET_LENGTH_MAX = 512


class RegisterSchema(StrictSchema):
    email = fields.String(required=True, metadata={"example": "thandi@example.com"})
    password = fields.String(
        required=True,
        load_only=True,
        metadata={"format": "password", "description": "8 to 256 characters; 15 recommended."},
    )
    full_name = fields.String(required=True, metadata={"example": "Thandi Nkosi"})


class EmailSchema(StrictSchema):
    email = fields.String(required=True, metadata={"example": "thandi@example.com"})


class VerificationSentSchema(Schema):
    status = fields.Constant("verification_sent")


class VerifyEmailSchema(StrictSchema):
    token = fields.String(
        required=True, load_only=True, validate=validate.Length(min=1, max=_SECRET_LENGTH_MAX)
    )


class VerifiedSchema(Schema):
    status = fields.Constant("verified")


class LoginSchema(StrictSchema):
    email = fields.String(required=True, metadata={"example": "thandi@example.com"})
    password = fields.String(required=True, load_only=True, metadata={"format": "password"})


class RefreshSchema(StrictSchema):
    refresh_token = fields.String(
        required=True, load_only=True, validate=validate.Length(min=1, max=_SECRET_LENGTH_MAX)
    )


class TokensSchema(Schema):
    access_token = fields.String()
    refresh_token = fields.String(metadata={"description": "Works once."})
    token_type = fields.Constant("Bearer")
    expires_in = fields.Integer(
        attribute="expires_in_seconds",
        metadata={"description": "Seconds until the access token expires."},
    )


class MeSchema(Schema):
    user_id = fields.String(attribute="id")
    email = fields.String(attribute="email.address")
    full_name = fields.String()
    roles = fields.List(fields.String())
    email_verified = fields.Boolean()
    created_at = fields.AwareDateTime(format="iso")


class UpdateMeSchema(StrictSchema):
    full_name = fields.String(metadata={"example": "Thandi M. Nkosi"})


class KeySetSchema(Schema):
    keys = fields.List(fields.Dict())
