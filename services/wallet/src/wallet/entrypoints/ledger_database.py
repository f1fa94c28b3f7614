"""The database as the tools of the ledger open it: what is wrong with it is one line and a 2."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from octoco.config import read_settings_or_exit
from octoco.database import Database
from octoco.errors import Unavailable
from wallet.bootstrap import SERVICE


@contextmanager
def ledger_database(*, failing: str) -> Iterator[Database]:
    """Open DATABASE_URL for as long as it is looked at; nothing else has to be set.

    Args:
        failing: What to say could not be done, in front of why.

    Raises:
        SystemExit: with 2 and one line on stderr: the address is none, the database is away, or
            it refused.
    """
    # Looking at the books needs nothing but the database, so it works where nothing else does.
    url: str = read_settings_or_exit(lambda env: env.str("DATABASE_URL"))
    try:
        database = Database(url, application_name=f"{SERVICE}-tools")
    except (SQLAlchemyError, ImportError, TypeError, ValueError):
        # Unchained and unquoted: the address carries a password.
        give_up(failing, "DATABASE_URL is not the address of a PostgreSQL database")
    try:
        yield database
    except Unavailable as error:
        give_up(failing, error.message)
    except DBAPIError as error:
        give_up(failing, str(error.orig).partition("\n")[0])
    finally:
        database.dispose()


def give_up(failing: str, why: str) -> NoReturn:
    """End the process with 2: nothing was found out.

    Args:
        failing: What could not be done.
        why: The reason, in one line.

    Raises:
        SystemExit: always.
    """
    click.echo(f"{failing}: {why}", err=True)
    raise SystemExit(2)
