"""Having the provider call us, and knowing the key by which it proves that it is calling."""

from collections.abc import Sequence

from octoco.clock import Clock
from octoco.ports import UnitsOfWork
from payments_gateway.domain.provider import RegisteredWebhook
from payments_gateway.use_cases.ports import PaymentProvider, Unit


class RegisterWebhook:
    """Makes sure that a webhook of ours exists and that its key is known here.

    Two processes that both find none may both register one. Then every event comes twice in the
    same bytes, each verifiable, because the keys of all webhooks with our address are kept.
    """

    def __init__(
        self,
        *,
        units: UnitsOfWork[Unit],
        provider: PaymentProvider,
        callback_url: str,
        clock: Clock,
    ) -> None:
        self._units = units
        self._provider = provider
        self._callback_url = callback_url
        self._clock = clock

    def __call__(self) -> Sequence[RegisteredWebhook]:
        """Register unless it is done already; a repeat only reads the keys again.

        Returns:
            Our webhooks at the provider.

        Raises:
            Unavailable: the provider or the database is away.
        """
        webhooks = tuple(self._provider.webhooks(self._callback_url))
        if not webhooks:
            webhooks = (self._provider.register_webhook(self._callback_url),)
        now = self._clock.now()
        self._units.run(lambda unit: unit.registrations.replace(webhooks, at=now))
        return webhooks
