"""Events as accounts and the wallet announce them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.fernet import Fernet

from octoco.events import Event
from octoco.ids import new_id

TOKEN = "evt_a-token-that-was-mailed-0123456789abcdef"


def event(event_type: str, **data: Any) -> Event:
    return Event(
        id=new_id("msg"),
        type=event_type,
        source=event_type.split(".", maxsplit=1)[0],
        aggregate_id=data["user_id"],
        occurred_at=datetime.now(UTC),
        data=data,
        correlation_id=new_id("cor"),
    )


def now_text(after: timedelta = timedelta(0)) -> str:
    return (datetime.now(UTC) + after).isoformat().replace("+00:00", "Z")


def registered(user_id: str) -> Event:
    return event(
        "accounts.user.registered.v1",
        user_id=user_id,
        email=f"{user_id.lower()}@example.com",
        full_name="Thandi Nkosi",
        registered_at=now_text(),
    )


def verification_requested(user_id: str, mail_key: str) -> Event:
    return event(
        "accounts.user.email_verification_requested.v1",
        user_id=user_id,
        email=f"{user_id.lower()}@example.com",
        token_encrypted=Fernet(mail_key).encrypt(TOKEN.encode()).decode(),
        expires_at=now_text(timedelta(hours=24)),
    )


def deposit_completed(user_id: str) -> Event:
    return event(
        "wallet.deposit.completed.v1",
        transaction_id=new_id("txn"),
        user_id=user_id,
        amount="250.00",
        currency="ZAR",
        available="250.00",
        completed_at=now_text(),
    )
