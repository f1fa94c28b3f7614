"""The database as the tools of the ledger open it: what is wrong with it is one line and a 2."""

from contextlib import AbstractContextManager

from octoco.commands.servers import give_up, service_database
from octoco.database import Database
from wallet.bootstrap import SERVICE

__all__ = ["give_up", "ledger_database"]


def ledger_database(*, failing: str) -> AbstractContextManager[Database]:
    """Open DATABASE_URL for as long as it is looked at; nothing else has to be set.

    Looking at the books needs nothing but the database, so it works where nothing else does.

    Args:
        failing: What to say could not be done, in front of why.

    Raises:
        SystemExit: with 2 and one line on stderr: the address is none, the database is away, or
            it refused.
    """
    return service_database(application_name=f"{SERVICE}-tools", failing=failing)
