"""The worker process: events, outbox and jobs."""

from octoco.messaging.topology import Topology
from octoco.worker import WorkerParts
from wallet.adapters.postgres.unit import PostgresWalletUnit
from wallet.bootstrap import SERVICE, Wallet
from wallet.entrypoints.consumer import subscriptions
from wallet.entrypoints.jobs import jobs


def worker_parts(
    wallet: Wallet, *, topology: Topology | None = None
) -> WorkerParts[PostgresWalletUnit]:
    """Return what the worker process runs.

    Args:
        wallet: The service put together.
        topology: Queue names; the service's own if None.
    """
    return WorkerParts(
        service=SERVICE,
        database_url=wallet.settings.database_url,
        database=wallet.database,
        units=wallet.units,
        contracts=wallet.contracts,
        amqp_url=wallet.settings.amqp_url,
        subscriptions=subscriptions(wallet),
        jobs=jobs(wallet),
        host=wallet.settings.worker_host,
        port=wallet.settings.worker_port,
        topology=topology,
        clock=wallet.clock,
    )
