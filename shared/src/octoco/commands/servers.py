"""The servers as operators' commands reach them: what is wrong with one is a line and a 2."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import click
import pika
import pika.exceptions
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from octoco.config import read_settings_or_exit
from octoco.database.engine import Database
from octoco.errors import Unavailable

_ANSWER_SECONDS: Final = 5.0
# Nobody waits for a command for longer than this on a broker that is out of memory or disk.
_BLOCKED_SECONDS: Final = 30.0


@contextmanager
def service_database(*, application_name: str, failing: str) -> Iterator[Database]:
    """Open DATABASE_URL for a block; nothing else has to be set.

    Args:
        application_name: Seen in pg_stat_activity. Turns are shared by those of one name, so a
            command that takes turns with the service's worker goes by the service's.
        failing: What to say could not be done, in front of why.

    Raises:
        SystemExit: with 2 and one line on stderr: the address is none, the database is away, or
            it refused.
    """
    url: str = read_settings_or_exit(lambda env: env.str("DATABASE_URL"))
    try:
        database = Database(url, application_name=application_name, pool_size=2)
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


@contextmanager
def broker_connection(*, failing: str) -> Iterator[Any]:
    """Connect to AMQP_URL for a block.

    Args:
        failing: What to say could not be done, in front of why.

    Yields:
        A blocking connection of pika's.

    Raises:
        SystemExit: with 2 and one line on stderr: the address is none, or the broker is away,
            goes away, or refuses.
    """
    parameters = broker_parameters(failing=failing)
    # Its trouble reaches us as exceptions; what it says beside them quotes bodies.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    try:
        connection = pika.BlockingConnection(parameters)
        try:
            yield connection
        finally:
            if connection.is_open:
                connection.close()
    except pika.exceptions.ChannelClosedByBroker as error:
        give_up(failing, f"RabbitMQ refused: {error.reply_text}")
    except (pika.exceptions.AMQPError, OSError) as error:
        where = f"{parameters.host}:{parameters.port}"
        give_up(failing, f"RabbitMQ does not answer at {where} ({type(error).__name__})")


def broker_parameters(*, failing: str) -> pika.URLParameters:
    """Read AMQP_URL for connections that give up within seconds.

    Args:
        failing: What to say could not be done, in front of why.

    Raises:
        SystemExit: with 2 and one line on stderr: the address is none.
    """
    url: str = read_settings_or_exit(lambda env: env.str("AMQP_URL"))
    try:
        parameters = pika.URLParameters(url)
        parameters.socket_timeout = _ANSWER_SECONDS
        parameters.stack_timeout = 2 * _ANSWER_SECONDS
        parameters.blocked_connection_timeout = _BLOCKED_SECONDS
    except (TypeError, ValueError, LookupError):
        # Unchained and unquoted: the address carries a password.
        give_up(failing, "AMQP_URL is not the address of a RabbitMQ")
    return parameters


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
