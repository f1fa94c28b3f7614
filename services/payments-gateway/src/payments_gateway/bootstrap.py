"""The one file that knows every concrete class: what the gateway is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from octoco.clock import Clock, SystemClock
from octoco.database import Database, PostgresUnitsOfWork
from octoco.intents import IntentHandler
from octoco.messaging.contracts import Contracts
from octoco.messaging.handling import Handler
from octoco.messaging.topology import Topology
from octoco.outbox.bell import Bell
from octoco.worker import PeriodicJob, WorkerParts
from payments_gateway.adapters.encryption import Encryption
from payments_gateway.adapters.format_verification import FormatVerification
from payments_gateway.adapters.metrics import CASES_OPEN, MONEY_FACTS_UNANSWERED_AGE
from payments_gateway.adapters.postgres.unit import SERVICE, GatewayUnit
from payments_gateway.adapters.postgres.webhooks import kept_webhooks
from payments_gateway.adapters.revio.provider import RevioProvider
from payments_gateway.adapters.revio.transport import RevioTransport
from payments_gateway.adapters.revio.webhook_format import RevioWebhookFormat
from payments_gateway.config import Settings
from payments_gateway.domain.policy import Policy
from payments_gateway.use_cases.add_bank_account import AddBankAccount
from payments_gateway.use_cases.cancel_purchase import CancelPurchase
from payments_gateway.use_cases.create_payout import CreatePayout
from payments_gateway.use_cases.create_purchase import CreatePurchase
from payments_gateway.use_cases.execute_payout import ExecutePayout
from payments_gateway.use_cases.poll_payout import PollPayout
from payments_gateway.use_cases.poll_purchase import PollPurchase
from payments_gateway.use_cases.ports import PaymentProvider
from payments_gateway.use_cases.process_webhook import ProcessWebhook
from payments_gateway.use_cases.receive_webhook import PROCESS_WEBHOOK, ReceiveWebhook
from payments_gateway.use_cases.record_payout_reading import EXECUTE_PAYOUT, POLL_PAYOUT
from payments_gateway.use_cases.record_purchase_reading import POLL_PURCHASE
from payments_gateway.use_cases.register_webhook import RegisterWebhook
from payments_gateway.use_cases.repeat_money_fact import RepeatMoneyFact
from payments_gateway.use_cases.request_checkout import CANCEL_PURCHASE, CREATE_PURCHASE
from payments_gateway.use_cases.request_payout import CREATE_PAYOUT
from payments_gateway.use_cases.tell_money_fact import REPEAT_MONEY_FACT

REGISTER_EVERY_SECONDS: Final = 2.0
REGISTER_AGAIN_AFTER: Final = timedelta(minutes=1)
MEASURE_EVERY_SECONDS: Final = 15.0
INTENT_KINDS: Final = (
    CREATE_PURCHASE,
    CANCEL_PURCHASE,
    POLL_PURCHASE,
    CREATE_PAYOUT,
    EXECUTE_PAYOUT,
    POLL_PAYOUT,
    PROCESS_WEBHOOK,
    REPEAT_MONEY_FACT,
)


@dataclass(frozen=True)
class Gateway:
    """The gateway, put together."""

    settings: Settings
    clock: Clock
    policy: Policy
    database: Database
    contracts: Contracts
    units: PostgresUnitsOfWork[GatewayUnit]
    provider: PaymentProvider
    receive_webhook: ReceiveWebhook
    register_webhook: RegisterWebhook
    add_bank_account: AddBankAccount


def assemble(
    settings: Settings,
    *,
    clock: Clock | None = None,
    policy: Policy | None = None,
    provider: PaymentProvider | None = None,
) -> Gateway:
    """Put the gateway together; nothing is connected before it is used.

    Args:
        settings: Of this installation.
        clock: The machine's if None.
        policy: The product's if None.
        provider: Revio if None.
    """
    clock = clock or SystemClock()
    policy = policy or Policy()
    database = Database(
        settings.database_url,
        application_name=SERVICE,
        pool_size=settings.events.connections(intent_kinds=len(INTENT_KINDS)),
    )
    contracts = Contracts()
    encryption = Encryption(settings.bank_account_keys)
    units = PostgresUnitsOfWork(
        database,
        lambda connection: GatewayUnit(
            connection, contracts=contracts, clock=clock, encryption=encryption
        ),
        after_commit=Bell(url=settings.database_url, service=SERVICE).ring,
    )
    provider = provider or _revio(settings, clock)
    return Gateway(
        settings=settings,
        clock=clock,
        policy=policy,
        database=database,
        contracts=contracts,
        units=units,
        provider=provider,
        receive_webhook=ReceiveWebhook(
            units=units,
            provider=provider,
            webhook_format=RevioWebhookFormat(),
            callback_url=settings.revio_webhook_url,
            clock=clock,
        ),
        register_webhook=RegisterWebhook(
            units=units,
            provider=provider,
            callback_url=settings.revio_webhook_url,
            clock=clock,
        ),
        add_bank_account=AddBankAccount(
            units=units, verification=FormatVerification(), clock=clock, policy=policy
        ),
    )


def intent_handlers(gateway: Gateway) -> Mapping[str, IntentHandler[GatewayUnit, Any, Any]]:
    """Say how each kind of intent is performed."""
    provider, clock, policy = gateway.provider, gateway.clock, gateway.policy
    ours = gateway.settings.ours
    handlers: Mapping[str, IntentHandler[GatewayUnit, Any, Any]] = {
        CREATE_PURCHASE: CreatePurchase(provider=provider, ours=ours, clock=clock, policy=policy),
        CANCEL_PURCHASE: CancelPurchase(provider=provider, ours=ours, clock=clock, policy=policy),
        POLL_PURCHASE: PollPurchase(provider=provider, ours=ours, clock=clock, policy=policy),
        CREATE_PAYOUT: CreatePayout(provider=provider, ours=ours, clock=clock),
        EXECUTE_PAYOUT: ExecutePayout(provider=provider, clock=clock, policy=policy),
        POLL_PAYOUT: PollPayout(provider=provider, ours=ours, clock=clock, policy=policy),
        PROCESS_WEBHOOK: ProcessWebhook(provider=provider, ours=ours, clock=clock, policy=policy),
        REPEAT_MONEY_FACT: RepeatMoneyFact(clock=clock, policy=policy),
    }
    assert handlers.keys() == set(INTENT_KINDS), "the pools were made for these kinds"
    return handlers


def jobs(gateway: Gateway) -> Sequence[PeriodicJob]:
    """Say what is done again and again, first when the worker starts."""
    registered_at: list[datetime] = []

    def register_webhook() -> None:
        # Tried often until it is done, so that a provider that starts later is no trouble.
        now = gateway.clock.now()
        if registered_at and now - registered_at[0] < REGISTER_AGAIN_AFTER:
            return
        gateway.register_webhook()
        registered_at[:] = [now]

    def measure() -> None:
        counts = gateway.units.read(lambda unit: unit.cases.count_open())
        CASES_OPEN.clear()
        for kind, count in counts.items():
            CASES_OPEN.labels(kind=kind).set(count)
        oldest = gateway.units.read(lambda unit: unit.money_facts.oldest_unanswered_at())
        now = gateway.clock.now()
        MONEY_FACTS_UNANSWERED_AGE.set((now - (oldest or now)).total_seconds())

    return (
        PeriodicJob("register_webhook", REGISTER_EVERY_SECONDS, register_webhook),
        PeriodicJob("measure", MEASURE_EVERY_SECONDS, measure),
    )


def worker_parts(
    gateway: Gateway,
    *,
    subscriptions: Mapping[str, Handler[GatewayUnit]],
    topology: Topology | None = None,
) -> WorkerParts[GatewayUnit]:
    """Put the worker's parts together.

    Args:
        gateway: The gateway.
        subscriptions: From the consumer's door.
        topology: Queue names; the service's own if None.
    """
    return WorkerParts(
        service=SERVICE,
        database_url=gateway.settings.database_url,
        database=gateway.database,
        units=gateway.units,
        contracts=gateway.contracts,
        amqp_url=gateway.settings.amqp_url,
        subscriptions=subscriptions,
        events=gateway.settings.events,
        # A delivery and a fact are each stored once, by the unit that stores the intent.
        forgettable_intents={PROCESS_WEBHOOK, REPEAT_MONEY_FACT},
        outbox=gateway.settings.outbox,
        retention=gateway.settings.retention,
        kept=(kept_webhooks(gateway.settings.webhooks_days),),
        intents=intent_handlers(gateway),
        jobs=jobs(gateway),
        host=gateway.settings.worker_host,
        port=gateway.settings.worker_port,
        topology=topology,
    )


def _revio(settings: Settings, clock: Clock) -> RevioProvider:
    transport = RevioTransport(
        base_url=settings.revio_api_url, secret_key=settings.revio_secret_key
    )
    return RevioProvider(
        transport=transport,
        brand_id=settings.brand_id,
        return_url=settings.checkout_return_url,
        clock=clock,
    )
