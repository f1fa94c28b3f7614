"""Ports: defaults, changes, and the check before use."""

import os
import socket

import pytest

from octoco_runner.errors import PortsTaken, RunnerError
from octoco_runner.ports import DEFAULTS, Port, choose_ports, free_port, require_free


def test_without_variables_the_defaults_hold() -> None:
    ports = choose_ports({})

    assert {name: port.number for name, port in ports.items()} == DEFAULTS


def test_the_offset_moves_all_ports_and_a_variable_only_its_own() -> None:
    ports = choose_ports({"OCTOCO_PORT_OFFSET": "1000", "OCTOCO_PAYMENTS_GATEWAY_PORT": "5000"})

    assert ports["gateway"].number == 9080
    assert ports["postgresql"].number == 9432
    assert ports["payments-gateway"].number == 5000


@pytest.mark.parametrize(
    "environment",
    [
        {"OCTOCO_GATEWAY_PORT": "many"},
        {"OCTOCO_GATEWAY_PORT": "0"},
        {"OCTOCO_GATEWAY_PORT": "70000"},
        {"OCTOCO_PORT_OFFSET": "60000"},
        {"OCTOCO_PORT_OFFSET": "1.5"},
    ],
)
def test_what_is_no_port_is_refused_by_the_variable_that_says_it(
    environment: dict[str, str],
) -> None:
    with pytest.raises(RunnerError, match="OCTOCO_"):
        choose_ports(environment)


def test_two_names_on_one_port_are_refused_by_both_variables() -> None:
    with pytest.raises(RunnerError) as refused:
        choose_ports({"OCTOCO_SANDBOX_PORT": "8080"})

    assert "OCTOCO_GATEWAY_PORT" in str(refused.value)
    assert "OCTOCO_SANDBOX_PORT" in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_named_with_its_owner_and_its_variable(host: str) -> None:
    with socket.socket() as listener:
        listener.bind((host, 0))
        listener.listen()
        taken = Port("gateway", listener.getsockname()[1])

        with pytest.raises(PortsTaken) as refused:
            require_free([free_port("wallet"), taken])

    message = str(refused.value)
    assert str(taken.number) in message
    assert str(os.getpid()) in message
    assert "OCTOCO_GATEWAY_PORT" in message
    assert "wallet" not in message


def test_a_port_whose_last_connection_just_ended_is_free() -> None:
    with socket.socket() as listener:
        # As servers do.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = Port("gateway", listener.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port.number)):
            accepted, _ = listener.accept()
            accepted.close()

    require_free([port])
