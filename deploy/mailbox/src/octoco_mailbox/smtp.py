"""The mail server: takes every mail for everybody, keeps it, sends nothing on."""

from typing import Any

from aiosmtpd.controller import Controller

from octoco_mailbox.faults import PERMANENT, FaultKind, Faults
from octoco_mailbox.store import MailStore

MAIL_BYTES_MAX = 10_000_000


class Receiver:
    """What happens with a mail that has arrived; the names are those aiosmtpd calls."""

    def __init__(self, store: MailStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: ARG002, N802 - aiosmtpd's
        fault = self._faults.take(list(envelope.rcpt_tos))
        if fault is None:
            return f"250 kept as {self._keep(envelope)}"
        if fault.kind is FaultKind.REFUSE:
            return f"{fault.code} {_reason(fault.code)}"
        if fault.kind is FaultKind.DROP_AFTER:
            self._keep(envelope)
        # The answer below goes nowhere: the connection is gone before it is written.
        server.transport.abort()
        raise ConnectionResetError

    def _keep(self, envelope: Any) -> str:
        return self._store.save(
            sender=envelope.mail_from or "",
            recipients=envelope.rcpt_tos,
            content=envelope.original_content,
        )


def mail_server(store: MailStore, faults: Faults, *, host: str, port: int) -> Controller:
    """Make the server; `start` and `stop` run it in a thread of its own.

    Args:
        store: Where mails are kept.
        faults: What is to go wrong.
        host: Loopback, unless mails come from other machines.
        port: TCP port.
    """
    return Controller(
        Receiver(store, faults),
        hostname=host,
        port=port,
        data_size_limit=MAIL_BYTES_MAX,
        enable_SMTPUTF8=True,
    )


def _reason(code: int) -> str:
    return "refused, as told" if code >= PERMANENT else "try again later, as told"
