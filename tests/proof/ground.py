"""What the proof stands on: servers of its own, the sandbox, and the processes of two services."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import psutil
import psycopg2
import psycopg2.extras
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from notifications.messages import inbound as heard_by_notifications
from octoco.database.migrate import migrate
from octoco.database.provision import provision_schema
from octoco.http.authentication import AUDIENCE, ISSUER
from octoco.ids import new_id
from octoco.messaging.topology import Topology
from octoco.testing import eventually
from octoco.testing.own_postgres import OwnPostgres, lasting_port, own_postgres
from octoco.testing.wire import Wire
from octoco_runner.layout import REPOSITORY, layout_for
from octoco_runner.ports import DEFAULTS, LOOPBACK, Port
from octoco_runner.processes import end_processes_of
from octoco_runner.server_users import postgresql_user, rabbitmq_user
from octoco_runner.services import (
    DATABASE,
    Workplace,
    outside_programs,
    owner_url,
    role_password,
    schema_of,
    service_environment,
    service_url,
    verification_environment,
    worker_environment,
)
from octoco_runner.supervision import log_of
from payments_gateway.entrypoints.cli import MIGRATIONS as GATEWAY_MIGRATIONS
from wallet.entrypoints.cli import MIGRATIONS as WALLET_MIGRATIONS

from .broker import OwnRabbitMQ
from .journal import Journal
from .nursery import SLOTS, topology_of

SERVICES = ("wallet", "payments-gateway")
MIGRATIONS = {"wallet": WALLET_MIGRATIONS, "payments-gateway": GATEWAY_MIGRATIONS}
READY_SECONDS = 60
NO_LIMIT = "ZAR=10000000.00"
LIMITS = {
    "DEPOSIT_LIMIT_PER_TRANSACTION": NO_LIMIT,
    "DEPOSIT_COUNT_PER_HOUR": "ZAR=100000",
    "DEPOSIT_LIMIT_PER_DAY": NO_LIMIT,
    "DEPOSIT_LIMIT_PER_MONTH": NO_LIMIT,
    "WITHDRAWAL_LIMIT_PER_TRANSACTION": NO_LIMIT,
    "WITHDRAWAL_COUNT_PER_HOUR": "ZAR=100000",
    "WITHDRAWAL_LIMIT_PER_DAY": NO_LIMIT,
    "WITHDRAWAL_LIMIT_PER_MONTH": NO_LIMIT,
    "WITHDRAWAL_REVIEW_ABOVE": NO_LIMIT,
}
SANDBOX_SETTINGS = {
    "SANDBOX_PAYOUT_SECONDS": "0.2",
    "SANDBOX_KEY_BITS": "2048",
    "SANDBOX_PAYOUT_BALANCE": "100000000000",
    "SANDBOX_LOG_LEVEL": "warning",
}
# What the rest of the house would hear; one queue of it stands for all.
HEARD_BY_OTHERS = tuple(
    sorted(
        message.TYPE
        for message in vars(heard_by_notifications).values()
        if isinstance(message, type) and hasattr(message, "TYPE")
    )
)


REGISTERED = heard_by_notifications.UserRegistered.TYPE


class Keys:
    """The keys that accounts would sign tokens with, published where it would publish them."""

    def __init__(self, port: int) -> None:
        self._private = Ed25519PrivateKey.generate()
        public = json.loads(OKPAlgorithm.to_jwk(self._private.public_key()))
        document = json.dumps(
            {"keys": [{**public, "kid": "proof", "use": "sig", "alg": "EdDSA"}]}
        ).encode()

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(document)))
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, port), Answer)
        threading.Thread(target=self._server.serve_forever, name="keys", daemon=True).start()

    def bearer(self, user_id: str) -> dict[str, str]:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "sid": new_id("ses"),
            "jti": new_id("tok"),
            "type": "access",
            "roles": ["user"],
            "iat": now,
            "exp": now + 900,
        }
        token = jwt.encode(claims, self._private, algorithm="EdDSA", headers={"kid": "proof"})
        return {"Authorization": f"Bearer {token}"}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Ground:
    """Everything that runs, and how it is addressed, asked and hurt.

    Args:
        place: Layout, ports and addresses, as the one-machine runner makes them.
        postgres: Our own.
        rabbitmq: Our own.
        seed: Printed, and passed on to whatever draws.
    """

    def __init__(
        self, place: Workplace, *, postgres: OwnPostgres, rabbitmq: OwnRabbitMQ, seed: str
    ) -> None:
        self.place = place
        self.postgres = postgres
        self.rabbitmq = rabbitmq
        self.seed = seed
        self.journal = Journal(place.layout.run)
        self.keys = Keys(place.ports["accounts"].number)
        self.relay_wires = {
            (service, slot): Wire.to(place.admin_url)
            for service in SERVICES
            for slot in range(SLOTS)
        }
        self.unit_wires = {service: Wire.to(place.admin_url) for service in SERVICES}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    # ---- addresses ----

    @property
    def logs(self) -> Path:
        return self.place.layout.logs

    @property
    def sandbox(self) -> str:
        return self.place.addresses.sandbox

    def web(self, service: str) -> str:
        return f"http://{LOOPBACK}:{self.place.ports[service].number}"

    # ---- beginning and end ----

    def begin(self, stack: ExitStack) -> None:
        """Make schemas and queues, and start every process; the servers are up."""
        for wire in (*self.relay_wires.values(), *self.unit_wires.values()):
            stack.enter_context(wire)
        stack.callback(self.keys.close)
        for program in outside_programs(self.place):
            if program.name == "sandbox":
                environment = {**program.environment, **SANDBOX_SETTINGS}
                self._spawn("sandbox", program.command, environment)
        # They take their time to import what they need, and look for their schema at a request.
        for service in SERVICES:
            script = str(Path(sys.executable).with_name(service))
            self._spawn(service, [script, "web"], self._environment(service))
        for service in SERVICES:
            self._provision(service)
        self._declare()
        for service in SERVICES:
            command = [sys.executable, "-m", "tests.proof.nursery", service]
            environment = self._worker_environment(service)
            folder = str(self.place.layout.run)
            self._spawn(f"{service}-nursery", [*command, folder], environment)
        doors = (f"{self.sandbox}/health", *(f"{self.web(one)}/health/ready" for one in SERVICES))
        for url in doors:
            eventually(partial(_answers, url), within_seconds=READY_SECONDS, what=url)

    def end_workers(self) -> dict[str, int]:
        """Ask the workers to end as an operator would; return how each nursery ended."""
        nurseries = {name: one for name, one in self._processes.items() if "nursery" in name}
        for process in nurseries.values():
            process.terminate()
        return {name: process.wait(60) for name, process in nurseries.items()}

    def end(self) -> None:
        """End whatever is left, by its mark."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        end_processes_of(self.place.layout, grace_seconds=10)
        for process in self._processes.values():
            process.wait(10)

    # ---- the database ----

    def rows(self, sql: str, values: Any = None) -> list[Any]:
        """Ask or tell the database as its superuser, again until it is there."""

        def ask() -> tuple[list[Any]] | None:
            try:
                with (
                    closing(psycopg2.connect(self._admin_url, connect_timeout=3)) as connection,
                    connection.cursor(cursor_factory=psycopg2.extras.NamedTupleCursor) as cursor,
                ):
                    cursor.execute(sql, values)  # type: ignore[no-untyped-call]
                    found = cursor.fetchall()
                    connection.commit()
                    return (found,)
            except psycopg2.OperationalError:
                return None

        (found,) = eventually(ask, within_seconds=READY_SECONDS, what="PostgreSQL")
        return found

    @property
    def _admin_url(self) -> str:
        return self.place.admin_url.rpartition("/")[0] + f"/{DATABASE}"

    # ---- the processes ----

    def kill_worker(self, service: str, slot: int) -> None:
        self._signal_worker(service, slot, signal.SIGKILL)

    def terminate_worker(self, service: str, slot: int) -> None:
        self._signal_worker(service, slot, signal.SIGTERM)

    def kill_web(self, service: str) -> None:
        """Kill the process that answers; gunicorn's master makes another one."""
        for child in psutil.Process(self._processes[service].pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def verify_ledger(self) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            **self._environment("wallet"),
            **verification_environment(self.place),
        }
        return subprocess.run(
            [str(Path(sys.executable).with_name("wallet")), "ledger", "verify"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def _signal_worker(self, service: str, slot: int, number: signal.Signals) -> None:
        pid = int((self.place.layout.run / f"pid-{service}-{slot}").read_text())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def _provision(self, service: str) -> None:
        schema = schema_of(service)
        provision_schema(
            self.place.admin_url,
            database=DATABASE,
            schema=schema,
            owner_password=role_password(self.place, f"{schema}_owner"),
            service_password=role_password(self.place, schema),
        )
        migrate(url=owner_url(self.place, service), migrations=MIGRATIONS[service])

    def _declare(self) -> None:
        with closing(self.rabbitmq.connect()) as connection:
            Topology("notifications").declare(connection.channel(), HEARD_BY_OTHERS)
            for service in SERVICES:
                topology_of(service).declare(connection.channel(), (REGISTERED,))

    def _environment(self, service: str) -> dict[str, str]:
        environment = service_environment(self.place, service)
        if service == "payments-gateway":
            environment["REVIO_WEBHOOK_URL"] = f"{self.web(service)}/webhooks/revio"
        return environment | {"WEB_THREADS": "8"} | LIMITS

    def _worker_environment(self, service: str) -> dict[str, str]:
        direct = service_url(self.place, service)
        wired = self.unit_wires[service].url_through(direct)
        environment = (
            worker_environment(self.place, service)
            | self._environment(service)
            | {"PROOF_SEED": self.seed}
        )
        for slot in range(SLOTS):
            relay = self.relay_wires[service, slot].url_through(direct)
            environment[f"RELAY_DATABASE_URL_{slot}"] = relay
            environment[f"UNITS_DATABASE_URL_{slot}"] = direct if slot else wired
        return environment

    def _spawn(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        # Lets the proof run on another tree than the installed one.
        tree = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        with log_of(self.place.layout, name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                list(command),
                env={**environment, **tree},
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


@contextmanager
def ground(admin_url: str, *, seed: str) -> Iterator[Ground]:
    """Make it all, and leave no process behind; what was logged stays if the block raises.

    Args:
        admin_url: Superuser of the test server, which is only asked whose binaries it runs on.
        seed: Of the run.
    """
    state = REPOSITORY / ".local" / "proof"
    _forget(state)
    layout = layout_for(state, postgresql_user(), rabbitmq_user())
    layout.make_folders()
    with ExitStack() as stack:
        stack.callback(end_processes_of, layout)
        postgres = stack.enter_context(own_postgres(admin_url))
        rabbitmq = OwnRabbitMQ(layout)
        stack.callback(rabbitmq.close)
        rabbitmq.spawn()
        postgres.start(max_connections="200", shared_buffers="128MB", log_line_prefix="%m [%p] ")
        rabbitmq.wait_until_ready()
        ports = {name: Port(name, lasting_port()) for name in DEFAULTS}
        place = Workplace(
            layout=layout, ports=ports, admin_url=postgres.admin_url, amqp_url=rabbitmq.url
        )
        made = Ground(place, postgres=postgres, rabbitmq=rabbitmq, seed=seed)
        stack.callback(made.end)
        made.begin(stack)
        yield made
    _forget(state)


def _forget(state: Path) -> None:
    if state.exists():
        layout = layout_for(state, postgresql_user(), rabbitmq_user())
        end_processes_of(layout)
        layout.remove()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False
