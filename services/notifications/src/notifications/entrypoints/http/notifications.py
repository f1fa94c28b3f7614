"""The route that shows users what they were told."""

# mypy: disable-error-code="untyped-decorator"
# flask-smorest publishes no types for its decorators.

import base64
import binascii
import re
from typing import Any, Final

from flask import current_app
from flask_smorest import Blueprint

from notifications.bootstrap import Notifications
from notifications.domain.deliveries import DeliveryId
from notifications.domain.errors import InvalidCursor
from notifications.entrypoints.http.schemas import NotificationsPageSchema, PageQuerySchema
from notifications.use_cases.list_deliveries import list_deliveries
from octoco.http import authenticated, current_user

EXTENSION: Final = "notifications"
_DELIVERY_ID: Final = re.compile(r"dlv_[0-9A-HJKMNP-TV-Z]{26}")

notifications = Blueprint(
    "notifications", __name__, url_prefix="/v1/notifications", description="What a user was told"
)


@notifications.get("")
@notifications.arguments(PageQuerySchema, location="query")
@notifications.response(200, NotificationsPageSchema)
@authenticated()
def show(query: dict[str, Any]) -> dict[str, object]:
    """List my own notifications, newest first; their bodies are not kept."""
    service = current_app.extensions[EXTENSION]
    assert isinstance(service, Notifications)
    page = list_deliveries(
        service.units,
        user_id=current_user().user_id,
        before=_before(query["cursor"]),
        limit=query["limit"],
    )
    items = [
        {
            "id": delivery.id,
            "template": delivery.template.value,
            "subject": service.renderer.subject(delivery),
            "status": delivery.status.value,
            "created_at": delivery.created_at,
            "sent_at": delivery.sent_at,
        }
        for delivery in page.items
    ]
    return {"items": items, "next_cursor": _cursor(page.next_before)}


def _cursor(before: DeliveryId | None) -> str | None:
    return base64.urlsafe_b64encode(before.encode()).decode() if before else None


def _before(cursor: str | None) -> DeliveryId | None:
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor.encode()).decode()
    except (binascii.Error, UnicodeError) as error:
        raise InvalidCursor("The cursor is not one of ours.", field="cursor") from error
    if not _DELIVERY_ID.fullmatch(text):
        raise InvalidCursor("The cursor is not one of ours.", field="cursor")
    return DeliveryId(text)
