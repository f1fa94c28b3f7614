"""The worker process: events, outbox and jobs."""

from octoco.messaging.topology import Topology
from octoco.worker import WorkerParts
from wallet.adapters.postgres.unit import PostgresWalletUnit
from wallet.bootstrap import SERVICE, Sealing, Wallet
from wallet.entrypoints.consumer import batch_subscriptions, subscriptions
from wallet.entrypoints.jobs import jobs
from wallet.entrypoints.sealing import sealing_job


def worker_parts(
    wallet: Wallet, *, topology: Topology | None = None, sealing: Sealing | None = None
) -> WorkerParts[PostgresWalletUnit]:
    """Return what the worker process runs.

    Args:
        wallet: The service put together.
        topology: Queue names; the service's own if None.
        sealing: What seals the ledger; None where another process does.
    """
    return WorkerParts(
        service=SERVICE,
        database_url=wallet.settings.database_url,
        database=wallet.database,
        units=wallet.units,
        contracts=wallet.contracts,
        amqp_url=wallet.settings.amqp_url,
        subscriptions=subscriptions(wallet),
        batch_subscriptions=batch_subscriptions(wallet),
        events=wallet.settings.events,
        outbox=wallet.settings.outbox,
        retention=wallet.settings.retention,
        jobs=[*jobs(wallet), *([sealing_job(wallet, sealing)] if sealing else [])],
        host=wallet.settings.worker_host,
        port=wallet.settings.worker_port,
        topology=topology,
    )
