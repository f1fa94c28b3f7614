"""A process of its own that performs one intent, so that a test can kill it."""

import json
import sys

from notifications.adapters.postgres.unit import PostgresNotificationsUnit
from notifications.bootstrap import build
from notifications.config import Settings
from octoco.intents.executor import Executor
from octoco.intents.leases import PostgresIntentLeases
from octoco.messaging.settings import EventSettings
from octoco.retention import RetentionSettings

given = json.load(sys.stdin)
service = build(
    Settings(
        **{
            **given,
            "mail_token_keys": tuple(given["mail_token_keys"]),
            "events": EventSettings(**given["events"]),
            "retention": RetentionSettings(**given["retention"]),
        }
    )
)
executor: Executor[PostgresNotificationsUnit] = Executor(
    leases=PostgresIntentLeases(service.database),
    units=service.units,
    handlers={"send_email": service.send_email},
)
executor.perform_next()
