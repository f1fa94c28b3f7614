"""How long the gateway waits for what, and how often it looks."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Policy:
    """The gateway's patience.

    Args:
        checkout_lifetime: From opening a checkout to its expiry.
        expiry_grace: A payment begun in time may take this long to show.
        late_money_watch: Ended checkouts and failed payouts are looked at for this long.
        look_interval_min: Between two looks at a fresh object.
        look_interval_max: Between two looks at an old one.
        execution_stuck_after: An executed payout that the provider still shows untouched after
            this long goes to a person.
        unknown_after: So does an error from which nobody can tell whether money moved.
        float_fresh_for: How long a look at the provider's balance counts.
        float_wait: Until the next look when the balance is short.
        fact_unanswered_after: A money fact that the wallet has not answered goes to a person.
        bank_accounts_max: That one user keeps.
    """

    checkout_lifetime: timedelta = timedelta(hours=1)
    expiry_grace: timedelta = timedelta(minutes=2)
    late_money_watch: timedelta = timedelta(days=3)
    look_interval_min: timedelta = timedelta(seconds=10)
    look_interval_max: timedelta = timedelta(hours=1)
    execution_stuck_after: timedelta = timedelta(minutes=2)
    unknown_after: timedelta = timedelta(hours=1)
    float_fresh_for: timedelta = timedelta(seconds=60)
    float_wait: timedelta = timedelta(minutes=5)
    fact_unanswered_after: timedelta = timedelta(hours=24)
    bank_accounts_max: int = 20

    def next_look_after(
        self, *, since: datetime, now: datetime, not_past: datetime | None = None
    ) -> float:
        """Say in how many seconds to look again at something that began at `since`.

        A quarter of its age, within the bounds, so that a fresh object is looked at often and an
        old one seldom. With `not_past` in the future the look is no later than that instant.
        """
        quarter = (now - since) / 4
        wait = min(max(quarter, self.look_interval_min), self.look_interval_max)
        if not_past is not None and not_past > now:
            wait = min(wait, not_past - now + timedelta(seconds=1))
        return wait.total_seconds()
