"""Received mails: one .eml file each, exactly as it came, with its envelope in front."""

import os
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

ID_PATTERN = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}")


@dataclass(frozen=True)
class Mail:
    """One received mail: `received_at` in UTC, `sender` and `recipients` from the envelope."""

    id: str
    received_at: datetime
    sender: str
    recipients: Sequence[str]
    message: EmailMessage
    source: bytes

    @property
    def subject(self) -> str:
        return str(self.message.get("Subject", ""))

    @property
    def text(self) -> str | None:
        return _content(self.message, "plain")

    @property
    def html(self) -> str | None:
        return _content(self.message, "html")


class MailStore:
    """The mails in one folder. Several processes may read; files appear whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def save(self, *, sender: str, recipients: Iterable[str], content: bytes) -> str:
        """Keep a mail; it is on disk when this returns.

        Args:
            sender: The envelope's; empty for a bounce.
            recipients: The envelope's.
            content: The mail's bytes.

        Returns:
            Its id; later mails have greater ones.
        """
        now = datetime.now(UTC)
        mail_id = f"{now:%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(4)}"
        envelope = [f"X-Envelope-From: {_one_line(sender)}"]
        envelope += [f"X-Envelope-To: {_one_line(recipient)}" for recipient in recipients]
        head = "".join(f"{line}\r\n" for line in envelope).encode()
        partial = self._folder / f".{mail_id}.partial"
        with partial.open("xb") as file:
            file.write(head + content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self._folder / f"{mail_id}.eml")
        return mail_id

    def newest(self, *, to: str | None = None, limit: int = 100) -> list[Mail]:
        """Up to `limit` mails, newest first.

        Args:
            to: Only mails whose envelope names this address; upper and lower case are alike.
            limit: At most this many.
        """
        found: list[Mail] = []
        for path in sorted(self._folder.glob("*.eml"), reverse=True):
            if len(found) >= limit:
                break
            mail = self.find(path.stem)
            if mail is not None and (to is None or _is_for(mail, to)):
                found.append(mail)
        return found

    def find(self, mail_id: str) -> Mail | None:
        """The mail of that id; None when there is none."""
        if not ID_PATTERN.fullmatch(mail_id):
            return None
        try:
            source = (self._folder / f"{mail_id}.eml").read_bytes()
        except FileNotFoundError:
            return None
        message = BytesParser(EmailMessage, policy=policy.default).parsebytes(source)
        moment = datetime.strptime(mail_id.partition("-")[0], "%Y%m%dT%H%M%S.%f%z")
        return Mail(
            id=mail_id,
            received_at=moment,
            sender=str(message.get("X-Envelope-From", "")),
            recipients=[str(value) for value in message.get_all("X-Envelope-To", [])],
            message=message,
            source=source,
        )

    def clear(self) -> int:
        """Remove every mail; says how many there were."""
        paths = list(self._folder.glob("*.eml"))
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)


def _is_for(mail: Mail, address: str) -> bool:
    return any(recipient.casefold() == address.casefold() for recipient in mail.recipients)


def _content(message: EmailMessage, kind: str) -> str | None:
    body = message.get_body(preferencelist=(kind,))
    if body is None:
        return None
    try:
        return str(body.get_content())
    except (LookupError, UnicodeError):
        # An unknown or wrong character set must not hide the mail.
        payload = body.get_payload(decode=True)
        return payload.decode(errors="replace") if isinstance(payload, bytes) else ""


def _one_line(text: str) -> str:
    return re.sub(r"[\r\n]", " ", text)
