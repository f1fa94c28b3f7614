"""The bodies and queries that go in and out."""

from marshmallow import Schema, fields, validate

from octoco.http.schemas import StrictSchema

LIMIT_DEFAULT = 20
LIMIT_MAX = 100


class PageQuerySchema(StrictSchema):
    limit = fields.Integer(
        load_default=LIMIT_DEFAULT, validate=validate.Range(min=1, max=LIMIT_MAX)
    )
    cursor = fields.String(
        load_default=None, metadata={"description": "`next_cursor` of the page before."}
    )


class NotificationSchema(Schema):
    id = fields.String()
    template = fields.String(metadata={"example": "deposit_completed"})
    subject = fields.String()
    status = fields.String(validate=validate.OneOf(["waiting", "sending", "sent", "failed"]))
    created_at = fields.AwareDateTime(format="iso")
    sent_at = fields.AwareDateTime(format="iso", allow_none=True)


class NotificationsPageSchema(Schema):
    items = fields.List(fields.Nested(NotificationSchema))
    next_cursor = fields.String(allow_none=True)
