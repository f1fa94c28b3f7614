"""gunicorn's configuration for every service's web process; see `octoco.cli` for the command."""

import os
from typing import Any

from prometheus_client import multiprocess

from octoco.telemetry.traces import shut_down_traces

bind = f"{os.environ.get('WEB_HOST', '127.0.0.1')}:{os.environ['WEB_PORT']}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS", "1"))
threads = int(os.environ.get("WEB_THREADS", "16"))
timeout = 30
# The gateway's limits come first, and its answers are problems.
limit_request_line = 0
limit_request_fields = 1000
limit_request_field_size = 0
graceful_timeout = 20
keepalive = 75
# Requests are logged by the application, as JSON and without query strings.
accesslog = None
errorlog = "-"
loglevel = "warning"


def worker_exit(_server: Any, _worker: Any) -> None:
    """Send the spans that are not sent yet; runs in the worker, when its requests have ended."""
    shut_down_traces()


def child_exit(_server: Any, worker: Any) -> None:
    """Take a dead process out of the live gauges."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
