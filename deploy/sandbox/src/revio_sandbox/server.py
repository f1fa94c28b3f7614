"""Runs the sandbox under gunicorn: one process, many threads."""

from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.config import Config

from revio_sandbox.config import Settings
from revio_sandbox.http.app import create_app
from revio_sandbox.sandbox import Sandbox

# The store, the queue's lanes and the clock live in one process; threads give concurrency.
WORKERS = 1


class SandboxServer(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types.
    """gunicorn with the sandbox inside its one worker."""

    cfg: Config

    def __init__(
        self, settings: Settings, *, host: str, port: int, threads: int, log_level: str
    ) -> None:
        self._settings = settings
        self._sandbox: Sandbox | None = None
        self._options: dict[str, Any] = {
            "bind": f"{host}:{port}",
            "workers": WORKERS,
            "worker_class": "gthread",
            "threads": threads,
            "loglevel": log_level,
            # Longer than the keep-alive of usual clients, so that none meets a closing connection.
            "keepalive": 75,
            "graceful_timeout": 5,
            "timeout": 60,
            "control_socket_disable": True,
            "worker_exit": self._stop,
        }
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its options; those this release does not know are left out."""
        for name, value in self._options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """Make the application; called in the worker, so that its threads live there."""
        self._sandbox = Sandbox(self._settings)
        self._sandbox.start()
        return create_app(self._sandbox)

    def _stop(self, _arbiter: object, _worker: object) -> None:
        if self._sandbox is not None:
            self._sandbox.stop()
