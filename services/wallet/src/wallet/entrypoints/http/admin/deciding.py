"""What the routes have in common by which operators decide."""

from collections.abc import Callable
from datetime import datetime

from octoco.http import current_user, idempotent
from wallet.entrypoints.http.context import wallet
from wallet.use_cases.ports import WalletUnit


def decide_once(decide: Callable[[WalletUnit, str, datetime], str]) -> tuple[str, bool]:
    """Let the operator who asks decide, once for each `Idempotency-Key`.

    Args:
        decide: Gets an open unit, the operator's id and now (UTC); returns the resource's id.

    Returns:
        The resource's id, and whether this request was decided before.

    Raises:
        IdempotencyKeyMissing, IdempotencyKeyReused, IdempotencyKeyInFlight: see `idempotent`.
        Refusal: what `decide` refuses.
    """
    service = wallet()
    operator_id = current_user().user_id
    return idempotent(service.units, lambda unit: decide(unit, operator_id, service.clock.now()))
