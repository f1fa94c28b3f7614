"""The one file that knows every concrete class of notifications."""

from collections.abc import Mapping
from dataclasses import dataclass

from notifications.adapters.delivery_metrics import PrometheusDeliveryCounter
from notifications.adapters.jinja_renderer import JinjaRenderer
from notifications.adapters.mail_tokens import FernetMailTokens
from notifications.adapters.postgres.unit import PostgresNotificationsUnit
from notifications.adapters.smtp import SmtpMailer, SmtpServer
from notifications.config import Settings
from notifications.domain.deliveries import SEND_EMAIL
from notifications.use_cases.ports import Mailer, Renderer
from notifications.use_cases.send_email import SendEmail
from octoco.clock import Clock, SystemClock
from octoco.database import Database, PostgresUnitsOfWork
from octoco.messaging.contracts import Contracts
from octoco.messaging.handling import Handler
from octoco.messaging.topology import Topology
from octoco.outbox.bell import Bell
from octoco.worker import WorkerParts

SERVICE = "notifications"


@dataclass(frozen=True, slots=True)
class Notifications:
    """The service put together: what its doors open onto."""

    settings: Settings
    clock: Clock
    database: Database
    units: PostgresUnitsOfWork[PostgresNotificationsUnit]
    contracts: Contracts
    renderer: Renderer
    send_email: SendEmail


def build(
    settings: Settings, *, clock: Clock | None = None, mailer: Mailer | None = None
) -> Notifications:
    """Put the service together; nothing is connected before its first use.

    Args:
        settings: From the environment.
        clock: The machine's if None.
        mailer: SMTP as the settings say if None.

    Raises:
        ConfigurationError: a key, SMTP_URL or MAIL_FROM is not usable.
    """
    clock = clock or SystemClock()
    contracts = Contracts()
    database = Database(
        settings.database_url,
        application_name=SERVICE,
        pool_size=settings.events.connections(intent_kinds=1),
    )
    units = PostgresUnitsOfWork(
        database,
        lambda connection: PostgresNotificationsUnit(connection, contracts=contracts, clock=clock),
        after_commit=Bell(url=settings.database_url, service=SERVICE).ring,
    )
    renderer = JinjaRenderer(public_url=settings.public_url)
    send_email = SendEmail(
        clock=clock,
        renderer=renderer,
        mailer=mailer
        or SmtpMailer(
            SmtpServer.parse(settings.smtp_url), mail_from=settings.mail_from, clock=clock
        ),
        mail_tokens=FernetMailTokens(settings.mail_token_keys),
        counter=PrometheusDeliveryCounter(),
    )
    return Notifications(settings, clock, database, units, contracts, renderer, send_email)


def worker_parts(
    notifications: Notifications,
    *,
    subscriptions: Mapping[str, Handler[PostgresNotificationsUnit]],
    topology: Topology | None = None,
) -> WorkerParts[PostgresNotificationsUnit]:
    """Return what the worker process runs.

    Args:
        notifications: The service.
        subscriptions: From the consumer's door.
        topology: Queue names; the service's own if None.
    """
    return WorkerParts(
        service=SERVICE,
        database_url=notifications.settings.database_url,
        database=notifications.database,
        units=notifications.units,
        contracts=notifications.contracts,
        amqp_url=notifications.settings.amqp_url,
        subscriptions=subscriptions,
        events=notifications.settings.events,
        # A delivery is stored once, by the unit that stores its intent.
        forgettable_intents={SEND_EMAIL},
        outbox=notifications.settings.outbox,
        retention=notifications.settings.retention,
        intents={SEND_EMAIL: notifications.send_email},
        host=notifications.settings.worker_host,
        port=notifications.settings.worker_port,
        topology=topology,
    )
