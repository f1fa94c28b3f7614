"""Which ports this system uses, how each is changed, and the check that they are free."""

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psutil

from octoco_runner.errors import PortsTaken, RunnerError

LOOPBACK = "127.0.0.1"
PORT_MAX = 65535
OFFSET_VARIABLE = "OCTOCO_PORT_OFFSET"
DEFAULTS: Mapping[str, int] = {
    "gateway": 8080,
    "accounts": 8101,
    "wallet": 8102,
    "payments-gateway": 8103,
    "notifications": 8104,
    "accounts-worker": 8111,
    "wallet-worker": 8112,
    "payments-gateway-worker": 8113,
    "notifications-worker": 8114,
    "sandbox": 8090,
    "mailbox-smtp": 8025,
    "mailbox": 8026,
    "postgresql": 8432,
    "rabbitmq": 8672,
    "rabbitmq-epmd": 8369,
    "rabbitmq-distribution": 8673,
}


@dataclass(frozen=True)
class Port:
    """One port: what listens on it and which variable changes it."""

    name: str
    number: int

    @property
    def variable(self) -> str:
        return variable_of(self.name)


def variable_of(name: str) -> str:
    return f"OCTOCO_{name.upper().replace('-', '_')}_PORT"


def choose_ports(environment: Mapping[str, str]) -> dict[str, Port]:
    """Every port of the system: the default plus OCTOCO_PORT_OFFSET, or what its variable says.

    Raises:
        RunnerError: a variable is no port number, or two names got the same number.
    """
    offset = _number(environment, OFFSET_VARIABLE, 0, lowest=-PORT_MAX)
    ports = {}
    for name, default in DEFAULTS.items():
        number = _number(environment, variable_of(name), default + offset, lowest=1)
        ports[name] = Port(name, number)
    by_number: dict[int, str] = {}
    for port in ports.values():
        if other := by_number.get(port.number):
            raise RunnerError(
                f"Port {port.number} is given to both {other} and {port.name}. "
                f"Change {variable_of(other)} or {port.variable}."
            )
        by_number[port.number] = port.name
    return ports


def free_port(name: str) -> Port:
    """A port the kernel says is free now, for servers nobody addresses by a known number."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return Port(name, probe.getsockname()[1])


def require_free(ports: Iterable[Port]) -> None:
    """Check that nothing listens on any of `ports`.

    Raises:
        PortsTaken: names each taken port, its owner where that can be seen, and what to change.
    """
    taken = [port for port in ports if not _is_free(port.number)]
    if not taken:
        return
    lines = [
        f"Port {port.number} ({port.name}) is in use{_owner(port.number)}. "
        f"Stop it, or set {port.variable} (or {OFFSET_VARIABLE} to move all ports)."
        for port in taken
    ]
    raise PortsTaken("\n".join(lines))


def _number(environment: Mapping[str, str], variable: str, default: int, *, lowest: int) -> int:
    text = environment.get(variable, "").strip()
    try:
        number = int(text) if text else default
    except ValueError as error:
        raise RunnerError(f"{variable} must be a whole number, not {text!r}.") from error
    if not lowest <= number <= PORT_MAX:
        raise RunnerError(f"{variable}: {number} is not a port number.")
    return number


def _is_free(number: int) -> bool:
    for family, host in ((socket.AF_INET, LOOPBACK), (socket.AF_INET, "0.0.0.0")):  # noqa: S104
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As servers do: connections of an earlier run in TIME_WAIT are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, number))
            except OSError:
                return False
    return True


def _owner(number: int) -> str:
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.AccessDenied, OSError):
        return ""
    for connection in connections:
        local = connection.laddr
        if connection.status == psutil.CONN_LISTEN and local and local.port == number:
            return _describe(connection.pid)
    return ""


def _describe(pid: int | None) -> str:
    if pid is None:
        return ""
    try:
        return f" by process {pid} ({psutil.Process(pid).name()})"
    except psutil.Error:
        return f" by process {pid}"


def current_ports() -> dict[str, Port]:
    """`choose_ports` on this process's environment."""
    return choose_ports(os.environ)
