"""PostgreSQL and RabbitMQ for a system or a test run: embedded, or the ones somebody names."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from octoco_runner import postgresql, rabbitmq
from octoco_runner.credentials import Credentials
from octoco_runner.errors import NotReady
from octoco_runner.interruptions import uninterrupted
from octoco_runner.layout import Layout
from octoco_runner.packages import NGINX, RABBITMQ, require_packages
from octoco_runner.ports import Port
from octoco_runner.processes import end_processes_of
from octoco_runner.screen import Screen
from octoco_runner.server_users import postgresql_user, rabbitmq_user
from octoco_runner.supervision import Program, Supervisor, log_of, tail_of

READY_TIMEOUT_SECONDS = 90.0


@dataclass(frozen=True)
class Servers:
    """Where the database and the broker are, and the programs that make them so, if embedded."""

    database_url: str
    amqp_url: str
    programs: Sequence[Program]

    def wait_until_ready(self, supervisor: Supervisor, layout: Layout) -> None:
        """Wait until both let us in.

        Raises:
            NotReady: one did not in time, or its process gave up.
        """
        embedded = {program.name for program in self.programs}
        checks: dict[str, Callable[[], None]] = {
            postgresql.NAME: partial(postgresql.require_answering, self.database_url),
            rabbitmq.NAME: partial(rabbitmq.require_answering, self.amqp_url),
        }
        for name, check in checks.items():
            if name in embedded:
                wait_until_ready(supervisor, layout, name, check=check)
            else:
                check()


def embedded_or_named(
    layout: Layout,
    *,
    ports: dict[str, Port],
    database_url: str | None,
    amqp_url: str | None,
) -> Servers:
    """Say where the servers are, preparing the embedded ones.

    Args:
        layout: Whose data and secrets the embedded servers use.
        ports: Must hold postgresql, rabbitmq, rabbitmq-epmd and rabbitmq-distribution.
        database_url: A superuser's address of a PostgreSQL to use instead of our own.
        amqp_url: Of a RabbitMQ to use instead of our own.
    """
    credentials = Credentials(layout.secrets)
    programs: list[Program] = []
    if database_url is None:
        password = credentials.password("postgresql-admin")
        database_url = postgresql.admin_url(ports["postgresql"], password)
        programs.append(
            postgresql.prepare_postgresql(
                layout,
                port=ports["postgresql"],
                admin_password=password,
                user=postgresql_user(),
            )
        )
    if amqp_url is None:
        password = credentials.password("rabbitmq")
        amqp_url = rabbitmq.amqp_url(ports["rabbitmq"], password)
        programs.append(
            rabbitmq.prepare_rabbitmq(
                layout,
                port=ports["rabbitmq"],
                epmd_port=ports["rabbitmq-epmd"],
                distribution_port=ports["rabbitmq-distribution"],
                password=password,
                user=rabbitmq_user(),
            )
        )
    return Servers(database_url=database_url, amqp_url=amqp_url, programs=programs)


def wait_until_ready(
    supervisor: Supervisor,
    layout: Layout,
    name: str,
    *,
    check: Callable[[], None],
    timeout_seconds: float = READY_TIMEOUT_SECONDS,
) -> None:
    """Call `check` until it raises no NotReady.

    Raises:
        NotReady: time is up, or the supervisor gave the process up; carries the log's end.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            return check()
        except NotReady as not_yet:
            state = supervisor.state_of(name)
            if state.state == "FATAL" or time.monotonic() > deadline:
                raise NotReady(
                    f"{name} did not become ready ({state.state.lower()}): {not_yet}",
                    log_tail=tail_of(log_of(layout, name)),
                ) from not_yet
        time.sleep(0.15)


@contextmanager
def running_servers(layout: Layout, servers: Servers, screen: Screen) -> Iterator[None]:
    """Run the embedded ones among `servers` for the block, then leave no process behind."""
    supervisor = Supervisor(layout)
    try:
        if servers.programs:
            supervisor.start(servers.programs)
            for program in servers.programs:
                supervisor.start_program(program.name)
        with screen.step("PostgreSQL and RabbitMQ"):
            servers.wait_until_ready(supervisor, layout)
        yield
    finally:
        with uninterrupted(screen.say):
            stop_servers(layout, servers)


def stop_servers(layout: Layout, servers: Servers) -> None:
    """Stop the embedded servers; fine when they are not running."""
    supervisor = Supervisor(layout)
    if supervisor.answers():
        supervisor.stop_programs([program.name for program in servers.programs])
        supervisor.shut_down()
    end_processes_of(layout)


def require_server_packages(
    screen: Screen, *, with_rabbitmq: bool, with_nginx: bool = False
) -> None:
    """Install what the embedded servers need and this machine lacks."""
    wanted = [RABBITMQ] if with_rabbitmq else []
    wanted += [NGINX] if with_nginx else []
    require_packages(wanted, say=screen.say)
