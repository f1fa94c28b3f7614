"""The one file that knows every concrete class of accounts."""

from dataclasses import dataclass

from accounts.adapters.passwords.argon2_hasher import Argon2Parameters, Argon2PasswordHasher
from accounts.adapters.passwords.common_passwords import load_common_passwords
from accounts.adapters.postgres.unit import PostgresAccountsUnit
from accounts.adapters.tokens.access_tokens import SignedAccessTokens
from accounts.adapters.tokens.mail_token_cipher import FernetMailTokenCipher
from accounts.adapters.tokens.refresh_secrets import DerivedRefreshSecrets
from accounts.adapters.tokens.signing_keys import SigningKeys
from accounts.config import Settings
from accounts.domain.policy import IdentityPolicy
from accounts.use_cases.ports import Ports
from accounts.use_cases.purge_ended import purge_ended
from octoco.clock import Clock, SystemClock
from octoco.database import Database, PostgresUnitsOfWork
from octoco.messaging.contracts import Contracts
from octoco.messaging.topology import Topology
from octoco.outbox.bell import Bell
from octoco.worker import PeriodicJob, WorkerParts

SERVICE = "accounts"


@dataclass(frozen=True, slots=True)
class Accounts:
    """The service put together: what its doors open onto."""

    settings: Settings
    database: Database
    units: PostgresUnitsOfWork[PostgresAccountsUnit]
    contracts: Contracts
    signing_keys: SigningKeys
    ports: Ports


def build(
    settings: Settings, *, clock: Clock | None = None, policy: IdentityPolicy | None = None
) -> Accounts:
    """Put the service together; nothing is connected before its first use.

    Args:
        settings: From the environment.
        clock: The machine's if None.
        policy: The default one if None.

    Raises:
        ConfigurationError: the key folder or a key is not usable.
    """
    clock = clock or SystemClock()
    contracts = Contracts()
    database = Database(
        settings.database_url, application_name=SERVICE, pool_size=settings.events.connections()
    )
    units = PostgresUnitsOfWork(
        database,
        lambda connection: PostgresAccountsUnit(connection, contracts=contracts, clock=clock),
        after_commit=Bell(url=settings.database_url, service=SERVICE).ring,
    )
    signing_keys = SigningKeys(settings.token_signing_keys_dir)
    ports = Ports(
        units=units,
        clock=clock,
        policy=policy or IdentityPolicy(),
        password_hasher=Argon2PasswordHasher(
            Argon2Parameters(
                time_cost=settings.argon2_time_cost,
                memory_kibibytes=settings.argon2_memory_kibibytes,
                parallelism=settings.argon2_parallelism,
                concurrent_max=settings.argon2_concurrent_max,
            )
        ),
        password_blocklist=load_common_passwords(),
        access_tokens=SignedAccessTokens(signing_keys),
        refresh_secrets=DerivedRefreshSecrets(signing_keys),
        mail_tokens=FernetMailTokenCipher(settings.mail_token_keys),
    )
    return Accounts(settings, database, units, contracts, signing_keys, ports)


def worker_parts(
    accounts: Accounts, *, topology: Topology | None = None
) -> WorkerParts[PostgresAccountsUnit]:
    """Return what the worker process runs: relay and clean-up; accounts listens to nobody."""
    return WorkerParts(
        service=SERVICE,
        database_url=accounts.settings.database_url,
        database=accounts.database,
        units=accounts.units,
        contracts=accounts.contracts,
        amqp_url=accounts.settings.amqp_url,
        subscriptions={},
        events=accounts.settings.events,
        outbox=accounts.settings.outbox,
        retention=accounts.settings.retention,
        jobs=(PeriodicJob("purge_ended", 3600.0, lambda: purge_ended(accounts.ports)),),
        host=accounts.settings.worker_host,
        port=accounts.settings.worker_port,
        topology=topology,
    )
