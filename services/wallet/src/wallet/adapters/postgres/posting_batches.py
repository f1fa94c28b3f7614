"""A batch of postings as the kernel's `post_transfers` takes it and answers it."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from octoco.events import OutboundMessage
from octoco.money import Money
from wallet.domain.ledger import Booked, Posting


def batch_parameters(
    postings: Sequence[Posting],
    announcing: Sequence[OutboundMessage | None],
    *,
    prepare: Callable[[OutboundMessage], Mapping[str, object]],
) -> dict[str, str | None]:
    """Return `postings` and `messages` as JSON.

    Args:
        postings: To be booked.
        announcing: What each of them announces, in their order; None for nothing.
        prepare: Checks a message and returns its outbox row.

    Raises:
        ContractViolation: a message does not fit its schema.
    """
    messages = [
        {"place": place, **prepare(message)}
        for place, message in enumerate(announcing, start=1)
        if message is not None
    ]
    return {
        "postings": json.dumps([_request(posting) for posting in postings]),
        "messages": json.dumps(messages) if messages else None,
    }


def batch_booked(rows: Sequence[Any], postings: Sequence[Posting]) -> Sequence[Booked]:
    """Return what each posting left behind.

    Args:
        rows: `(repeated, available)` in the order of the postings.
        postings: Name the currencies.
    """
    return [
        Booked(repeated, None if available is None else Money(available, posting.money.currency))
        for (repeated, available), posting in zip(rows, postings, strict=True)
    ]


def _request(posting: Posting) -> dict[str, object]:
    return {
        "business_key": posting.business_key,
        "kind": posting.kind.value,
        "user_id": posting.user_id,
        "amount": str(posting.money.amount),
        "currency": posting.money.currency,
        "subject": posting.subject,
        "effective_at": posting.effective_at.isoformat(),
    }
