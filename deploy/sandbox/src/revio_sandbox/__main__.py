"""Lets `python -m revio_sandbox` do what the command does."""

from revio_sandbox.cli import main

main()
