"""The embedded RabbitMQ: a private node with its own name, ports, user, and Erlang port mapper."""

import os
import secrets
from pathlib import Path

import pika
import pika.exceptions

from octoco_runner.commands import ServerUser
from octoco_runner.errors import NotReady, RunnerError
from octoco_runner.layout import Layout
from octoco_runner.packages import RABBITMQ
from octoco_runner.ports import LOOPBACK, Port
from octoco_runner.supervision import Program

NAME = "rabbitmq"
USER = "octoco"
# A machine's own name often does not resolve, and on a bare one not even "localhost" does, so
# Erlang is told what it is.
NODE = "octoco@localhost"
ERLANG_RESOLVER = """{host, {127,0,0,1}, ["localhost"]}.
{lookup, [file, native]}.
"""


def prepare_rabbitmq(
    layout: Layout,
    *,
    port: Port,
    epmd_port: Port,
    distribution_port: Port,
    password: str,
    user: ServerUser | None,
) -> Program:
    """Write the node's configuration and say how it is run.

    The password is taken over when the node's data is first made and must be the same ever after.

    Args:
        layout: Where the data lives, in `data/rabbitmq`.
        port: AMQP, on loopback.
        epmd_port: Of the node's own Erlang port mapper, so that no system-wide one is touched.
        distribution_port: Erlang's, for rabbitmqctl.
        password: Of the node's only user, `octoco`.
        user: Whom to run as; None is ourselves.

    Raises:
        RunnerError: RabbitMQ is not installed.
    """
    server = RABBITMQ.find()
    if server is None:
        raise RunnerError("RabbitMQ is not installed.")
    home = layout.data / NAME
    home.mkdir(exist_ok=True, mode=0o700)
    settings = {
        "listeners.tcp.1": f"{LOOPBACK}:{port.number}",
        "default_user": USER,
        "default_pass": password,
        "loopback_users": "none",
        "log.console": "true",
        "log.console.level": "warning",
        "log.file": "false",
        "disk_free_limit.absolute": "256MB",
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    _write(home / "rabbitmq.conf", "\n".join(lines) + "\n")
    _write(home / "enabled_plugins", "[].\n")
    _write(home / "inetrc", ERLANG_RESOLVER)
    cookie = home / ".erlang.cookie"
    if not cookie.exists():
        _write(cookie, secrets.token_hex(20).upper(), mode=0o400)
    if user:
        for path in (home, *home.iterdir()):
            os.chown(path, user.uid, user.gid)
    return Program(
        name=NAME,
        command=[str(server)],
        environment=_node_environment(home, epmd_port, distribution_port),
        user=user.name if user else None,
        directory=home,
        stop_wait_seconds=30,
    )


def amqp_url(port: Port, password: str) -> str:
    """The address of the node's default virtual host."""
    return f"amqp://{USER}:{password}@{LOOPBACK}:{port.number}/"


def require_answering(url: str) -> None:
    """Check that a broker answers at `url` and lets us in.

    Raises:
        NotReady: it does not; the message holds no password.
    """
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = 3
    parameters.blocked_connection_timeout = 3
    try:
        pika.BlockingConnection(parameters).close()
    except (pika.exceptions.AMQPError, OSError) as error:
        raise NotReady(
            f"RabbitMQ does not answer at {parameters.host}:{parameters.port}: "
            f"{type(error).__name__}"
        ) from error


def _node_environment(home: Path, epmd_port: Port, distribution_port: Port) -> dict[str, str]:
    return {
        "HOME": str(home),
        "RABBITMQ_NODENAME": NODE,
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        # An empty environment file of ours, so that a system-wide one cannot change the node.
        "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
        "RABBITMQ_DIST_PORT": str(distribution_port.number),
        "ERL_EPMD_PORT": str(epmd_port.number),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "ERL_INETRC": str(home / "inetrc"),
        "ERL_CRASH_DUMP": str(home / "erl_crash.dump"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        # The script then becomes the Erlang machine instead of watching over it: the supervisor
        # sees the real process, and a killed one leaves no second half behind.
        "RUNNING_UNDER_SYSTEMD": "true",
        "LC_ALL": "C.UTF-8",
    }


def _write(path: Path, text: str, *, mode: int = 0o600) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
