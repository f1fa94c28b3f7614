"""The whole system on this machine: bringing it up, taking it down, saying how it is."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from octoco.database.provision import provision_schema
from octoco_runner import api_docs, gateway, services
from octoco_runner.commands import run
from octoco_runner.environment_file import read_environment_file, write_environment_file
from octoco_runner.errors import NotReady, RunnerError
from octoco_runner.interruptions import uninterrupted
from octoco_runner.layout import Layout, known_layout, layout_for, state_directory
from octoco_runner.locking import exclusive
from octoco_runner.ports import Port, current_ports, require_free
from octoco_runner.processes import end_processes_of, processes_of
from octoco_runner.screen import Screen
from octoco_runner.server_users import nginx_user, postgresql_user, rabbitmq_user
from octoco_runner.servers import (
    Servers,
    embedded_or_named,
    require_server_packages,
    wait_until_ready,
)
from octoco_runner.services import Workplace
from octoco_runner.supervision import ProcessState, Program, Supervisor, log_of, tail_of

MIGRATION_SECONDS_MAX = 120


@dataclass(frozen=True)
class Status:
    """How the system is: whole, and each program; `unsupervised` counts orphaned processes."""

    is_up: bool
    programs: Sequence[ProcessState]
    unsupervised: int


def bring_up(screen: Screen) -> bool:
    """Start everything that is not running, and wait until all of it is ready.

    On any failure, Ctrl-C included, whatever was started is stopped again.

    Returns:
        True when this call started it; False when it was running already.

    Raises:
        RunnerError: it could not be started; says what to do.
    """
    state = state_directory()
    with _only_one(state, screen):
        if _is_up(known_layout(state)):
            return False
        require_server_packages(
            screen, with_rabbitmq=not os.environ.get("AMQP_URL"), with_nginx=True
        )
        layout = layout_for(state, postgresql_user(), rabbitmq_user(), nginx_user())
        layout.make_folders()
        _end_leftovers(layout, screen)
        try:
            _start(layout, screen)
        except BaseException:
            with uninterrupted(screen.say):
                _stop(layout, screen)
            raise
    return True


def take_down(screen: Screen) -> bool:
    """Stop everything; the data stays.

    Returns:
        True when something was running; False on a repeat.

    Raises:
        RunnerError: a process could not be ended.
    """
    state = state_directory()
    if not state.exists():
        return False
    with _only_one(state, screen), uninterrupted(screen.say):
        return _stop(known_layout(state), screen)


def clean(screen: Screen) -> None:
    """Stop everything and remove all data, logs and secrets, those of test runs included.

    Raises:
        RunnerError: the state folder was not made by this runner, or a process could not be ended.
    """
    state = state_directory()
    if not state.exists():
        return
    with _only_one(state, screen), uninterrupted(screen.say):
        for layout in (known_layout(state / "test"), known_layout(state)):
            _stop(layout, screen)
            layout.remove()
        (state / "test.lock").unlink(missing_ok=True)


def status() -> Status:
    """Look at what runs, without waiting for a start or stop that is going on."""
    layout = known_layout(state_directory())
    supervisor = Supervisor(layout)
    if supervisor.answers():
        return Status(is_up=_is_up(layout), programs=supervisor.states(), unsupervised=0)
    return Status(is_up=False, programs=(), unsupervised=len(processes_of(layout)))


def addresses() -> dict[str, str]:
    """The running system's addresses, as the file `env` in the state folder has them."""
    return read_environment_file(known_layout(state_directory()).environment_file)


@contextmanager
def _only_one(state: Path, screen: Screen) -> Iterator[None]:
    with exclusive(
        state / "lock",
        on_wait=lambda pid: screen.say(f"Another octoco-runner (process {pid}) is busy; waiting."),
    ):
        yield


def _ready_mark(layout: Layout) -> Path:
    return layout.run / "ready"


def _is_up(layout: Layout) -> bool:
    # The mark says that a start came to its end; the supervisor, that it was not killed since.
    return _ready_mark(layout).exists() and Supervisor(layout).answers()


def _end_leftovers(layout: Layout, screen: Screen) -> None:
    _ready_mark(layout).unlink(missing_ok=True)
    if ended := end_processes_of(layout):
        screen.warn(f"Ended {ended} processes an earlier start had left behind.")


def _start(layout: Layout, screen: Screen) -> None:
    ports = current_ports()
    database_url = os.environ.get("DATABASE_URL") or None
    amqp_url = os.environ.get("AMQP_URL") or None
    require_free(_ports_used(ports, database_url=database_url, amqp_url=amqp_url))
    servers = embedded_or_named(layout, ports=ports, database_url=database_url, amqp_url=amqp_url)
    place = Workplace(layout, ports, admin_url=servers.database_url, amqp_url=servers.amqp_url)
    front = gateway.prepare_gateway(
        layout,
        ports=ports,
        limits=gateway.RateLimits.from_environment(os.environ),
        user=nginx_user(),
    )
    own = [*services.outside_programs(place), *services.service_programs(place), front]
    supervisor = Supervisor(layout)
    supervisor.start([*servers.programs, *own])
    with ThreadPoolExecutor(max_workers=1) as aside:
        # The services' command lines describe their API while the servers are starting.
        documents = aside.submit(api_docs.documents_of_services)
        _start_servers(supervisor, layout, servers, screen)
        _provision(place, screen)
        with screen.step("API documents of the four services"):
            docs = gateway.static_folder(layout) / "docs"
            api_docs.write_docs(docs, documents=documents.result())
    with screen.step("Services, sandbox, mailbox and gateway"):
        for program in own:
            supervisor.start_program(program.name)
        _wait_for_programs(supervisor, place, own)
    write_environment_file(layout.environment_file, _environment(place))
    _ready_mark(layout).write_text(f"{time.time()}\n")


def _ports_used(
    ports: dict[str, Port], *, database_url: str | None, amqp_url: str | None
) -> list[Port]:
    """Ours, without those of servers that somebody else runs."""
    unused = {"postgresql"} if database_url else set()
    if amqp_url:
        unused |= {"rabbitmq", "rabbitmq-epmd", "rabbitmq-distribution"}
    return [port for name, port in ports.items() if name not in unused]


def _start_servers(
    supervisor: Supervisor, layout: Layout, servers: Servers, screen: Screen
) -> None:
    embedded = [program.name for program in servers.programs]
    what = f"embedded: {', '.join(embedded)}" if embedded else "as named in the environment"
    with screen.step(f"PostgreSQL and RabbitMQ ({what})"):
        for name in embedded:
            supervisor.start_program(name)
        servers.wait_until_ready(supervisor, layout)


def _provision(place: Workplace, screen: Screen) -> None:
    with screen.step("Database, schemas and roles"):
        for service in services.SERVICES:
            schema = services.schema_of(service)
            provision_schema(
                place.admin_url,
                database=services.DATABASE,
                schema=schema,
                owner_password=services.role_password(place, f"{schema}_owner"),
                service_password=services.role_password(place, schema),
            )
    with (
        screen.step("Migrations of the four schemas"),
        ThreadPoolExecutor(max_workers=len(services.SERVICES)) as threads,
    ):
        list(threads.map(partial(_migrate, place), services.SERVICES))


def _migrate(place: Workplace, service: str) -> None:
    done = run(
        [str(services.script(service)), "migrate"],
        environment=services.migration_environment(place, service),
        timeout_seconds=MIGRATION_SECONDS_MAX,
    )
    log = log_of(place.layout, f"{service}-migrate")
    log.write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        raise NotReady(f"The migration of {service} failed.", log_tail=tail_of(log))


def _wait_for_programs(
    supervisor: Supervisor, place: Workplace, programs: Sequence[Program]
) -> None:
    urls = services.health_urls(place)
    for program in programs:
        check = partial(gateway.require_answering, urls[program.name])
        wait_until_ready(supervisor, place.layout, program.name, check=check)


def _environment(place: Workplace) -> dict[str, str]:
    found = place.addresses
    values = {
        "GATEWAY_URL": found.gateway,
        "SANDBOX_URL": found.sandbox,
        "MAILBOX_URL": found.mailbox,
        "SMTP_URL": found.smtp,
        "AMQP_URL": place.amqp_url,
    }
    for service in services.SERVICES:
        name = services.schema_of(service).upper()
        values[f"{name}_DATABASE_URL"] = services.service_url(place, service)
        values[f"{name}_MIGRATION_DATABASE_URL"] = services.owner_url(place, service)
        values[f"{name}_WEB_URL"] = f"http://127.0.0.1:{place.ports[service].number}"
        worker = place.ports[f"{service}-worker"].number
        values[f"{name}_WORKER_URL"] = f"http://127.0.0.1:{worker}"
    return values | services.verification_environment(place)


def _stop(layout: Layout, screen: Screen) -> bool:
    """Stop in order: the door, then what works, then what it works on; then sweep."""
    if not layout.state.exists():
        return False
    _ready_mark(layout).unlink(missing_ok=True)
    supervisor = Supervisor(layout)
    supervised = supervisor.answers()
    if supervised:
        with screen.step("Stopping"):
            names = [state.name for state in supervisor.states()]
            last = [name for name in names if name in ("postgresql", "rabbitmq")]
            middle = [name for name in names if name not in (*last, gateway.NAME)]
            for group in ([gateway.NAME], middle, last):
                supervisor.stop_programs(group)
            supervisor.shut_down()
    # Also those that are nobody's child any more, and RabbitMQ's own port mapper.
    ended = end_processes_of(layout)
    layout.environment_file.unlink(missing_ok=True)
    return supervised or ended > 0


def require_up() -> dict[str, str]:
    """The addresses of the running system.

    Raises:
        RunnerError: it is not running.
    """
    if not status().is_up:
        raise RunnerError("The system is not running. Start it with: make up")
    return addresses()
