"""Mail out by SMTP, with an answer for every way it can end."""

import smtplib
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from typing import Final
from urllib.parse import unquote, urlsplit

from notifications.domain.outcomes import Accepted, Outcome, RefusedForGood, RefusedForNow, Unclear
from notifications.use_cases.ports import RenderedMail
from octoco.clock import Clock
from octoco.errors import ConfigurationError
from octoco.spans import Attributes, Kind, span

# Together less than an intent's lease: nobody else may begin while this one still sends.
BUDGET_SECONDS: Final = 40.0
STEP_SECONDS_MAX: Final = 10.0
_PORTS: Final = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
_PERMANENT: Final = range(500, 600)
# Short lines of plain text stay readable in the raw mail; RFC 5322 allows 998.
_POLICY: Final = SMTP_POLICY.clone(max_line_length=200)


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over.

    Args:
        scheme: `smtp`, `smtps` (TLS from the start) or `smtp+starttls` (TLS or nothing).
        username: None where no login is asked for.
    """

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> "SmtpServer":
        """Read a URL such as `smtp://127.0.0.1:8025` or `smtps://user:password@mail.example.com`.

        Raises:
            ConfigurationError: it is none.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigurationError("SMTP_URL is malformed") from error
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ConfigurationError(f"SMTP_URL must begin with one of {', '.join(_PORTS)} and ://")
        return cls(
            scheme=parts.scheme,
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )


class SmtpMailer:
    """See `notifications.use_cases.ports.Mailer`.

    What the server says about us (connection, login, sender) may be put right and is tried again;
    what it says for good about the recipient or the mail itself is final.

    Args:
        server: Where mail is handed over.
        mail_from: The sender, `Octoco Wallet <no-reply@example.com>` or the address alone.
        clock: Dates the mails.

    Raises:
        ConfigurationError: `mail_from` holds no address.

    Source: RFC 5321, sections 4.2.1 (reply codes) and 4.5.3.2 (timeouts; ours are shorter).
    """

    def __init__(self, server: SmtpServer, *, mail_from: str, clock: Clock) -> None:
        self._server = server
        self._mail_from = mail_from
        self._sender = parseaddr(mail_from)[1]
        self._domain = self._sender.rpartition("@")[2]
        if "@" not in self._sender or not self._domain:
            raise ConfigurationError("MAIL_FROM holds no address")
        self._clock = clock

    def send(self, mail: RenderedMail) -> Outcome:
        attributes: Attributes = {
            "server.address": self._server.host,
            "server.port": self._server.port,
        }
        with span("smtp send", kind=Kind.CLIENT, attributes=attributes) as step:
            outcome = self._send(mail)
            step.note({"octoco.outcome": type(outcome).__name__})
            if not isinstance(outcome, Accepted):
                step.fail(type(outcome).__name__)
            return outcome

    def _send(self, mail: RenderedMail) -> Outcome:
        deadline = time.monotonic() + BUDGET_SECONDS
        content = self._compose(mail)
        try:
            connection = self._connect(deadline)
        except smtplib.SMTPResponseException as error:
            return RefusedForNow(f"connecting: {error.smtp_code}")
        except (OSError, smtplib.SMTPException) as error:
            return RefusedForNow(f"connecting: {type(error).__name__}")
        try:
            return self._hand_over(
                connection, to_address=mail.to_address, content=content, deadline=deadline
            )
        finally:
            # Whatever is said from here on changes nothing about the mail.
            with suppress(OSError, smtplib.SMTPException):
                connection.quit()
            connection.close()

    def _compose(self, mail: RenderedMail) -> bytes:
        message = EmailMessage(policy=_POLICY)
        message["From"] = self._mail_from
        message["To"] = mail.to_address
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(self._clock.now())
        message["Message-ID"] = f"<{mail.message_id}@{self._domain}>"
        # Keeps out-of-office answers from coming back (RFC 3834).
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text)
        message.add_alternative(mail.html, subtype="html")
        return message.as_bytes()

    def _connect(self, deadline: float) -> smtplib.SMTP:
        server = self._server
        # A host name of our own: finding out the machine's may wait for a name server.
        if server.scheme == "smtps":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host,
                server.port,
                local_hostname=self._domain,
                timeout=STEP_SECONDS_MAX,
                context=ssl.create_default_context(),
            )
        else:
            connection = smtplib.SMTP(
                server.host, server.port, local_hostname=self._domain, timeout=STEP_SECONDS_MAX
            )
        try:
            if server.scheme == "smtp+starttls":
                _limit(connection, deadline)
                connection.starttls(context=ssl.create_default_context())
            _limit(connection, deadline)
            connection.ehlo_or_helo_if_needed()
            if server.username is not None:
                _limit(connection, deadline)
                connection.login(server.username, server.password or "")
        except BaseException:
            connection.close()
            raise
        return connection

    def _hand_over(
        self, connection: smtplib.SMTP, *, to_address: str, content: bytes, deadline: float
    ) -> Outcome:
        try:
            _limit(connection, deadline)
            code, _ = connection.mail(self._sender)
            if code != 250:  # noqa: PLR2004 - SMTP's "completed"
                return RefusedForNow(f"MAIL: {code}")
            _limit(connection, deadline)
            code, _ = connection.rcpt(to_address)
            if code not in {250, 251}:
                return _refusal("RCPT", code)
            _limit_body(connection, deadline)
        except (OSError, smtplib.SMTPException) as error:
            return RefusedForNow(f"before DATA: {type(error).__name__}")
        try:
            code, _ = connection.data(content)
        except smtplib.SMTPDataError as error:
            return _refusal("DATA", error.smtp_code)
        except (OSError, smtplib.SMTPException) as error:
            return Unclear(f"during DATA: {type(error).__name__}")
        return Accepted() if code == 250 else _refusal("DATA", code)  # noqa: PLR2004 - as above


def _limit(connection: smtplib.SMTP, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0 or connection.sock is None:
        raise TimeoutError("the mail server takes too long")
    connection.sock.settimeout(min(left, STEP_SECONDS_MAX))


def _limit_body(connection: smtplib.SMTP, deadline: float) -> None:
    # Servers scan a body before they take it, and giving up on one that is about to answer would
    # send the mail twice: the two answers of DATA share all the time that is left.
    left = deadline - time.monotonic()
    if left <= 0 or connection.sock is None:
        raise TimeoutError("the mail server takes too long")
    connection.sock.settimeout(left / 2)


def _refusal(step: str, code: int) -> RefusedForNow | RefusedForGood:
    reason = f"{step}: {code}"
    return RefusedForGood(reason) if code in _PERMANENT else RefusedForNow(reason)
