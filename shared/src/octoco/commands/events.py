"""The command that says which events a service sends and receives."""

import json

import click

from octoco.messaging.asyncapi import asyncapi_document
from octoco.messaging.contracts import Contracts
from octoco.messaging.declaration import EventDeclaration


def asyncapi_command(declaration: EventDeclaration) -> click.Command:
    """Make the command `asyncapi` of a service; it needs no environment.

    Args:
        declaration: Of the service.
    """

    @click.command(name="asyncapi", help="Print the AsyncAPI document of the events as JSON.")
    def print_asyncapi() -> None:
        document = asyncapi_document(declaration, contracts=Contracts())
        click.echo(json.dumps(document, indent=2))

    return print_asyncapi
