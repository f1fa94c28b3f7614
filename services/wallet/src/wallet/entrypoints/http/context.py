"""How routes reach the service behind them."""

from typing import Final

from flask import Flask, current_app

from wallet.bootstrap import Wallet

_EXTENSION: Final = "wallet"


def install(app: Flask, wallet: Wallet) -> None:
    """Let the routes of this application reach the service."""
    app.extensions[_EXTENSION] = wallet


def wallet() -> Wallet:
    """Return the service behind the running application."""
    installed = current_app.extensions[_EXTENSION]
    assert isinstance(installed, Wallet)
    return installed
