"""The four services, the sandbox and the mailbox: how each is run and what it is told."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from octoco_runner.credentials import Credentials
from octoco_runner.layout import Layout
from octoco_runner.ports import LOOPBACK, Port
from octoco_runner.processes import mark_of
from octoco_runner.supervision import Program, clean_environment

DATABASE = "octoco"
SERVICES = ("accounts", "wallet", "payments-gateway", "notifications")
SANDBOX = "sandbox"
MAILBOX = "mailbox"
SEAL_KEYS = "ledger-seal-keys"
# What bounds users is the operator's to say; the wallet's README has the defaults.
LIMITS = (
    "DEPOSIT_LIMIT_PER_TRANSACTION",
    "DEPOSIT_COUNT_PER_HOUR",
    "DEPOSIT_LIMIT_PER_DAY",
    "DEPOSIT_LIMIT_PER_MONTH",
    "WITHDRAWAL_LIMIT_PER_TRANSACTION",
    "WITHDRAWAL_COUNT_PER_HOUR",
    "WITHDRAWAL_LIMIT_PER_DAY",
    "WITHDRAWAL_LIMIT_PER_MONTH",
    "WITHDRAWAL_REVIEW_ABOVE",
)
# Where spans go, how events are handled, and what is kept for how long is said by whoever starts
# the system; each service has its own name.
PASSED_ON = ("OTEL_", "EVENT_", "OUTBOX_", "INBOX_", "INTENTS_", "IDEMPOTENCY_KEYS_")
SERVICE_NAME = "OTEL_SERVICE_NAME"
MAIL_FROM = "Octoco Wallet <wallet@octoco.example>"
# The sandbox repeats webhooks as Revio does, with its hours shortened to minutes.
SANDBOX_CLOCK_SCALE = 60


@dataclass(frozen=True)
class Addresses:
    """Where everything answers, as a person or a test would address it."""

    gateway: str
    sandbox: str
    mailbox: str
    smtp: str

    @classmethod
    def of(cls, ports: Mapping[str, Port]) -> "Addresses":
        return cls(
            gateway=f"http://{LOOPBACK}:{ports['gateway'].number}",
            sandbox=f"http://{LOOPBACK}:{ports[SANDBOX].number}",
            mailbox=f"http://{LOOPBACK}:{ports[MAILBOX].number}",
            smtp=f"smtp://{LOOPBACK}:{ports['mailbox-smtp'].number}",
        )


@dataclass(frozen=True)
class Workplace:
    """What every program's environment is made from."""

    layout: Layout
    ports: Mapping[str, Port]
    admin_url: str
    amqp_url: str

    @property
    def addresses(self) -> Addresses:
        return Addresses.of(self.ports)

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.layout.secrets)


def schema_of(service: str) -> str:
    return service.replace("-", "_")


def service_url(place: Workplace, service: str) -> str:
    """The database address of a service's own role."""
    return _as_role(place, schema_of(service))


def owner_url(place: Workplace, service: str) -> str:
    """The database address of the role that owns a service's schema and migrates it."""
    return _as_role(place, f"{schema_of(service)}_owner")


def role_password(place: Workplace, role: str) -> str:
    return place.credentials.password(f"postgresql-{role}")


def service_environment(place: Workplace, service: str) -> dict[str, str]:
    """What both processes of a service are told; nothing that only another one needs.

    `worker_environment` adds to it.
    """
    secrets = place.credentials
    addresses = place.addresses
    environment = {
        **_base_environment(place),
        "DATABASE_URL": service_url(place, service),
        "AMQP_URL": place.amqp_url,
        "WEB_HOST": LOOPBACK,
        "WEB_PORT": str(place.ports[service].number),
        "WORKER_HOST": LOOPBACK,
        "WORKER_PORT": str(place.ports[f"{service}-worker"].number),
        "LOG_LEVEL": "info",
        **{name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)},
        SERVICE_NAME: service,
    }
    if service == "accounts":
        environment["TOKEN_SIGNING_KEYS_DIR"] = str(secrets.signing_keys_folder())
    else:
        accounts = place.ports["accounts"].number
        environment["JWKS_URL"] = f"http://{LOOPBACK}:{accounts}/.well-known/jwks.json"
    if service == "wallet":
        environment |= {name: os.environ[name] for name in LIMITS if name in os.environ}
    if service in ("accounts", "notifications"):
        environment["MAIL_TOKEN_KEYS"] = secrets.fernet_keys("mail-token-keys")
    if service == "notifications":
        environment["SMTP_URL"] = addresses.smtp
        environment["MAIL_FROM"] = MAIL_FROM
        environment["PUBLIC_URL"] = addresses.gateway
    if service == "payments-gateway":
        environment |= {
            "REVIO_API_URL": f"{addresses.sandbox}/api/v1/",
            "REVIO_SECRET_KEY": secrets.token("revio-secret-key"),
            "REVIO_BRAND_ID": secrets.identifier("revio-brand-id"),
            "REVIO_COMPANY_ID": secrets.identifier("revio-company-id"),
            "REVIO_TEST_MODE": "true",
            "REVIO_WEBHOOK_URL": f"{addresses.gateway}/webhooks/revio",
            "BANK_ACCOUNT_KEYS": secrets.fernet_keys("bank-account-keys"),
            "CHECKOUT_RETURN_URL": f"{addresses.gateway}/docs/",
        }
    return environment


def worker_environment(place: Workplace, service: str) -> dict[str, str]:
    """What a worker is told beside it: the key that seals the ledger is the one worker's alone."""
    environment = service_environment(place, service)
    if service == "wallet":
        environment |= {
            "LEDGER_SEAL_KEYS": place.credentials.seal_keys(SEAL_KEYS),
            "LEDGER_SEAL_HEADS_FILE": str(heads_file(place)),
        }
    return environment


def verification_environment(place: Workplace) -> dict[str, str]:
    """What `wallet ledger verify` is told beside the database's address: nothing secret."""
    return {
        "LEDGER_SEAL_PUBLIC_KEYS": place.credentials.seal_public_keys(SEAL_KEYS),
        "LEDGER_SEAL_HEADS_FILE": str(heads_file(place)),
    }


def heads_file(place: Workplace) -> Path:
    """Where the heads of the ledger's seals are kept."""
    return place.layout.ledger_seals / "heads.jsonl"


def migration_environment(place: Workplace, service: str) -> dict[str, str]:
    return {**_base_environment(place), "MIGRATION_DATABASE_URL": owner_url(place, service)}


def service_programs(place: Workplace) -> list[Program]:
    """The web and worker processes of the four services."""
    programs = []
    for service in SERVICES:
        for process, name, environment in (
            ("web", service, service_environment(place, service)),
            ("worker", f"{service}-worker", worker_environment(place, service)),
        ):
            programs.append(
                Program(
                    name=name,
                    command=[str(script(service)), process],
                    environment=environment,
                    directory=place.layout.state,
                    # gunicorn lets requests end for 20 s.
                    stop_wait_seconds=25,
                )
            )
    return programs


def outside_programs(place: Workplace) -> list[Program]:
    """What stands in for the world outside: Revio's sandbox, and the mailbox."""
    secrets = place.credentials
    ports = place.ports
    sandbox = {
        **_base_environment(place),
        "SANDBOX_HOST": LOOPBACK,
        "SANDBOX_PORT": str(ports[SANDBOX].number),
        "SANDBOX_DATA": str(place.layout.state / "sandbox"),
        "SANDBOX_PUBLIC_URL": place.addresses.sandbox,
        "SANDBOX_SECRET_KEY": secrets.token("revio-secret-key"),
        "SANDBOX_BRAND_ID": secrets.identifier("revio-brand-id"),
        "SANDBOX_COMPANY_ID": secrets.identifier("revio-company-id"),
        "SANDBOX_CLOCK_SCALE": str(SANDBOX_CLOCK_SCALE),
    }
    mailbox = [str(script("octoco-mailbox")), "serve", "--dir", str(place.layout.state / "mail")]
    mailbox += ["--smtp-port", str(ports["mailbox-smtp"].number)]
    mailbox += ["--http-port", str(ports[MAILBOX].number)]
    return [
        Program(
            name=SANDBOX,
            command=[str(script("revio-sandbox")), "serve"],
            environment=sandbox,
            directory=place.layout.state,
        ),
        Program(
            name=MAILBOX,
            command=mailbox,
            environment=_base_environment(place),
            directory=place.layout.state,
        ),
    ]


def health_urls(place: Workplace) -> dict[str, str]:
    """Where each program says that it is ready."""
    urls = {
        program.name: f"http://{LOOPBACK}:{place.ports[program.name].number}/health/ready"
        for program in service_programs(place)
    }
    urls[SANDBOX] = f"{place.addresses.sandbox}/health"
    urls[MAILBOX] = f"{place.addresses.mailbox}/health"
    urls["gateway"] = f"{place.addresses.gateway}/health"
    return urls


def script(name: str) -> Path:
    """A command of this workspace, beside the interpreter that runs us."""
    return Path(sys.executable).parent / name


def _base_environment(place: Workplace) -> dict[str, str]:
    # PATH and the like come from the supervisor; PYTHONUNBUFFERED so that a log is never behind.
    return {**clean_environment(), **mark_of(place.layout), "PYTHONUNBUFFERED": "1"}


def _as_role(place: Workplace, role: str) -> str:
    parts = urlsplit(place.admin_url)
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{role}:{quote(role_password(place, role), safe='')}@{host}"
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{DATABASE}"))
