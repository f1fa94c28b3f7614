"""The one file that knows every concrete class of the wallet."""

from dataclasses import dataclass

from octoco.clock import Clock, SystemClock
from octoco.database import Database, PostgresUnitsOfWork
from octoco.http.authentication import JwksKeys, TokenKeys
from octoco.messaging.contracts import Contracts
from octoco.outbox.bell import Bell
from octoco.outbox.postgres import OutboxRows
from wallet.adapters.postgres.postings import PostgresPostings
from wallet.adapters.postgres.seals import PostgresSeals
from wallet.adapters.postgres.unit import PostgresWalletUnit
from wallet.adapters.seal_heads_file import SealHeadsFile
from wallet.adapters.seal_signatures import Ed25519Signer, known_public_keys
from wallet.config import SealSettings, Settings
from wallet.use_cases.ports import Postings
from wallet.use_cases.seal_ports import SealHeads, Seals, SealSigner

SERVICE = "wallet"


@dataclass(frozen=True, slots=True)
class Wallet:
    """The service put together: what its doors open onto."""

    settings: Settings
    database: Database
    units: PostgresUnitsOfWork[PostgresWalletUnit]
    postings: Postings
    contracts: Contracts
    token_keys: TokenKeys
    clock: Clock


def build(
    settings: Settings, *, clock: Clock | None = None, token_keys: TokenKeys | None = None
) -> Wallet:
    """Put the service together; nothing is connected before its first use.

    Args:
        settings: From the environment.
        clock: The machine's if None.
        token_keys: Those that accounts publishes if None.
    """
    clock = clock or SystemClock()
    contracts = Contracts()
    database = Database(
        settings.database_url, application_name=SERVICE, pool_size=settings.database_pool_size
    )
    bell = Bell(url=settings.database_url, service=SERVICE)
    units = PostgresUnitsOfWork(
        database,
        lambda connection: PostgresWalletUnit(connection, contracts=contracts, clock=clock),
        after_commit=bell.ring,
    )
    postings = PostgresPostings(
        database,
        outbox_rows=OutboxRows(contracts=contracts, clock=clock),
        after_commit=bell.ring,
    )
    return Wallet(
        settings=settings,
        database=database,
        units=units,
        postings=postings,
        contracts=contracts,
        token_keys=token_keys or JwksKeys(settings.jwks_url),
        clock=clock,
    )


@dataclass(frozen=True, slots=True)
class Sealing:
    """What seals the ledger: the chain, the key, and the heads outside of the database."""

    seals: Seals
    signer: SealSigner
    heads: SealHeads


def build_sealing(wallet: Wallet, settings: SealSettings) -> Sealing:
    """Put together what seals the ledger, for the one process that has the key.

    Raises:
        ConfigurationError: a public key is not the half of the private one under the same id.
    """
    private_keys = (settings.signing_key, *settings.older_keys)
    return Sealing(
        seals=PostgresSeals(wallet.database),
        signer=Ed25519Signer(
            settings.signing_key, known_public_keys(private_keys, settings.public_keys)
        ),
        heads=SealHeadsFile(settings.heads_file),
    )
