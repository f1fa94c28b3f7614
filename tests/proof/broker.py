"""A RabbitMQ of the proof's own, which it may stop, kill and start again."""

import signal
import subprocess
from pathlib import Path

import pika
import pika.exceptions

from octoco.testing import eventually
from octoco.testing.own_postgres import lasting_port
from octoco_runner import rabbitmq
from octoco_runner.errors import NotReady
from octoco_runner.layout import Layout
from octoco_runner.ports import Port
from octoco_runner.processes import mark_of
from octoco_runner.server_users import rabbitmq_user
from octoco_runner.supervision import clean_environment, log_of

PASSWORD = "proof"
START_SECONDS = 60


class OwnRabbitMQ:
    """A durable node of the embedded RabbitMQ, with data that outlives its stops.

    Args:
        layout: Where its data and its log go; its processes carry the layout's mark.
    """

    def __init__(self, layout: Layout) -> None:
        names = (rabbitmq.NAME, "rabbitmq-epmd", "rabbitmq-distribution")
        port, epmd_port, distribution_port = (Port(name, lasting_port()) for name in names)
        self._program = rabbitmq.prepare_rabbitmq(
            layout,
            port=port,
            epmd_port=epmd_port,
            distribution_port=distribution_port,
            password=PASSWORD,
            user=rabbitmq_user(),
        )
        self._layout = layout
        self._process: subprocess.Popen[bytes] | None = None
        self.url = rabbitmq.amqp_url(port, PASSWORD)

    def spawn(self) -> None:
        """Start it and do not wait; see `wait_until_ready`."""
        assert self._process is None
        user = rabbitmq_user()
        environment = {
            **clean_environment(),
            **mark_of(self._layout),
            **self._program.environment,
        }
        with log_of(self._layout, rabbitmq.NAME).open("ab") as log:
            self._process = subprocess.Popen(
                list(self._program.command),
                env=environment,
                cwd=self._program.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=[] if user else None,
            )

    def wait_until_ready(self) -> None:
        eventually(self._answers, within_seconds=START_SECONDS, what="RabbitMQ")

    def stop(self) -> None:
        """Stop it as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def close(self) -> None:
        """End it if it runs; nobody needs its data any more."""
        if self.is_running:
            self.kill()

    def connect(self) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(self.url))

    def control(self, *arguments: str) -> None:
        """Ask something of the running node, as an operator does with rabbitmqctl."""
        server = Path(self._program.command[0])
        user = rabbitmq_user()
        subprocess.run(
            [str(server.with_name("rabbitmqctl")), *arguments],
            env={**clean_environment(), **self._program.environment},
            cwd=self._program.directory,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
            capture_output=True,
            check=True,
            timeout=60,
        )

    def _end(self, signal_number: signal.Signals) -> None:
        assert self._process is not None
        # Where somebody has seen it end already there is nobody to tell.
        self._process.send_signal(signal_number)
        self._process.wait(60)
        self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"RabbitMQ ended; see {log_of(self._layout, rabbitmq.NAME)}")
        try:
            rabbitmq.require_answering(self.url)
        except NotReady:
            return False
        return True
