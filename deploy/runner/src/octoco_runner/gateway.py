"""The API gateway: nginx on the template in deploy/gateway."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

import requests

from octoco_runner.commands import ServerUser, run
from octoco_runner.errors import NotReady, RunnerError
from octoco_runner.http_session import direct_session
from octoco_runner.layout import REPOSITORY, Layout
from octoco_runner.packages import NGINX
from octoco_runner.ports import LOOPBACK, Port
from octoco_runner.supervision import Program, clean_environment

NAME = "gateway"
TEMPLATE = REPOSITORY / "deploy" / "gateway" / "nginx.conf.template"
SERVICES = ("accounts", "wallet", "payments-gateway", "notifications")


@dataclass(frozen=True)
class RateLimits:
    """Requests per address: rates as nginx writes them ("100r/s"), bursts in requests."""

    rate: str = "100r/s"
    burst: str = "200"
    auth_rate: str = "5r/s"
    auth_burst: str = "20"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "RateLimits":
        """The defaults, or what OCTOCO_GATEWAY_RATE, _BURST, _AUTH_RATE and _AUTH_BURST say."""
        return cls(
            rate=environment.get("OCTOCO_GATEWAY_RATE") or cls.rate,
            burst=environment.get("OCTOCO_GATEWAY_BURST") or cls.burst,
            auth_rate=environment.get("OCTOCO_GATEWAY_AUTH_RATE") or cls.auth_rate,
            auth_burst=environment.get("OCTOCO_GATEWAY_AUTH_BURST") or cls.auth_burst,
        )


def prepare_gateway(
    layout: Layout, *, ports: Mapping[str, Port], limits: RateLimits, user: ServerUser | None
) -> Program:
    """Write nginx's configuration, have nginx check it, and say how it is run.

    Args:
        layout: Where its files live, in `data/gateway`; `data/gateway/static` holds `docs/`.
        ports: Must hold gateway and the four services.
        limits: Per address.
        user: Whom the workers run as when we are root, else None.

    Raises:
        RunnerError: nginx is missing, or refuses the configuration (says why).
    """
    nginx = NGINX.find()
    if nginx is None:
        raise RunnerError("nginx is not installed.")
    folder = layout.data / NAME
    static_folder(layout).mkdir(parents=True, exist_ok=True)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        render_configuration(
            listen=f"{LOOPBACK}:{ports[NAME].number}",
            addresses={name: f"{LOOPBACK}:{ports[name].number}" for name in SERVICES},
            limits=limits,
            run_folder=folder,
            static=static_folder(layout),
            user=user,
        )
    )
    command = [str(nginx), "-c", str(configuration), "-p", str(folder), "-e", "stderr"]
    checked = run([*command, "-t"], environment=clean_environment())
    if checked.returncode != 0:
        raise RunnerError(f"nginx refuses its configuration:\n{checked.stderr.strip()}")
    # It overwrites its environment; its processes are known by the folder they work in.
    starter = [sys.executable, "-m", "octoco_runner.start_gateway"]
    return Program(name=NAME, command=[*starter, *command], directory=folder, stop_signal="QUIT")


def render_configuration(
    *,
    listen: str,
    addresses: Mapping[str, str],
    limits: RateLimits,
    run_folder: Path,
    static: Path,
    user: ServerUser | None,
) -> str:
    """Fill in the template.

    Args:
        listen: Address and port the gateway answers on.
        addresses: Each service's address and port, by its name.
        limits: Per client address.
        run_folder: For the pid file and buffers; writable.
        static: The folder that holds `docs/`.
        user: Whom the workers run as; None leaves it to nginx.
    """
    values = {
        "GATEWAY_LISTEN": listen,
        "GATEWAY_RATE": limits.rate,
        "GATEWAY_BURST": limits.burst,
        "GATEWAY_AUTH_RATE": limits.auth_rate,
        "GATEWAY_AUTH_BURST": limits.auth_burst,
        "GATEWAY_UPSTREAM_KEEPALIVE": "30s",
        "GATEWAY_WORKERS": "2",
        "GATEWAY_RUN_DIR": str(run_folder),
        "GATEWAY_DOCS_ROOT": str(static),
        "GATEWAY_USER_LINE": f"user {user.name};" if user else "",
    }
    for name, address in addresses.items():
        values[f"GATEWAY_{name.upper().replace('-', '_')}_ADDRESS"] = address
    return Template(TEMPLATE.read_text()).safe_substitute(values)


def static_folder(layout: Layout) -> Path:
    return layout.data / NAME / "static"


def require_answering(url: str) -> None:
    """Check that something healthy answers at `url`.

    Raises:
        NotReady: it does not.
    """
    try:
        with direct_session() as session:
            answer = session.get(url, timeout=3)
    except requests.RequestException as error:
        raise NotReady(f"no answer at {url} ({type(error).__name__})") from error
    if answer.status_code != requests.codes.ok:
        raise NotReady(f"{url} answers {answer.status_code}: {answer.text[:200].strip()}")
