"""The mailbox as a process of its own, spoken to over real SMTP and HTTP."""

import smtplib
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry


@dataclass
class Mailbox:
    smtp_port: int
    url: str
    folder: Path

    def send(self, message: EmailMessage, *, to: str | None = None) -> None:
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=10) as connection:
            connection.send_message(message, to_addrs=to)

    def messages(self, **query: object) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.url}/api/messages", params=query, timeout=10)  # type: ignore[arg-type]
        found: list[dict[str, Any]] = answer.json()["messages"]
        return found

    def fault(self, **body: object) -> requests.Response:
        return requests.post(f"{self.url}/control/faults", json=body, timeout=10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailbox]:
    folder = tmp_path_factory.mktemp("mailbox") / "mail"
    mailbox = Mailbox(free_port(), f"http://127.0.0.1:{free_port()}", folder)
    command = [str(Path(sys.executable).parent / "octoco-mailbox"), "serve", "--dir", str(folder)]
    command += ["--smtp-port", str(mailbox.smtp_port)]
    command += ["--http-port", mailbox.url.rpartition(":")[2]]
    running = subprocess.Popen(command)
    try:
        wait_until_healthy(mailbox)
        yield mailbox
    finally:
        running.terminate()
        assert running.wait(timeout=10) == 0


def wait_until_healthy(mailbox: Mailbox) -> None:
    patient = requests.Session()
    patient.mount(
        "http://", HTTPAdapter(max_retries=Retry(connect=40, backoff_factor=0.05, backoff_max=0.5))
    )
    assert patient.get(f"{mailbox.url}/health", timeout=2).json() == {"status": "ok"}
    patient.close()


@pytest.fixture
def mailbox(process: Mailbox) -> Mailbox:
    requests.delete(f"{process.url}/api/messages", timeout=10)
    requests.delete(f"{process.url}/control/faults", timeout=10)
    return process


def mail(
    *, to: str = "thandi@example.com", subject: str = "Welcome", text: str = "Hello Thandi"
) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "wallet@octoco.example"
    message["To"] = to
    message["Subject"] = subject
    message.set_content(text)
    return message


def test_a_mail_is_kept_as_a_file_and_found_by_its_recipient(mailbox: Mailbox) -> None:
    message = mail(subject="Jou saldo is R250,00: dankie, é", text="R250.00 é")
    message.add_alternative("<p>R250.00 <b>é</b></p>", subtype="html")
    mailbox.send(message)
    mailbox.send(mail(to="someone@example.com"))

    (found,) = mailbox.messages(to="THANDI@example.com")

    assert found["subject"] == "Jou saldo is R250,00: dankie, é"
    assert found["from"] == "wallet@octoco.example"
    assert found["to"] == ["thandi@example.com"]
    assert found["text"].strip() == "R250.00 é"
    assert found["html"].strip() == "<p>R250.00 <b>é</b></p>"
    assert len(list(mailbox.folder.glob("*.eml"))) == 2


def test_a_hidden_recipient_counts_too(mailbox: Mailbox) -> None:
    mailbox.send(mail(), to="hidden@example.com")

    assert mailbox.messages(to="hidden@example.com")
    assert not mailbox.messages(to="thandi@example.com")


def test_mails_are_listed_newest_first_up_to_a_limit(mailbox: Mailbox) -> None:
    for number in range(5):
        mailbox.send(mail(subject=f"Mail {number}"))

    subjects = [found["subject"] for found in mailbox.messages(limit=3)]

    assert subjects == ["Mail 4", "Mail 3", "Mail 2"]


def test_the_page_shows_mails_and_escapes_what_they_say(mailbox: Mailbox) -> None:
    message = mail(subject="<script>alert(1)</script>", text="<script>alert(2)</script>")
    message.add_alternative("<script>alert(3)</script>", subtype="html")
    mailbox.send(message)
    mail_id = mailbox.messages()[0]["id"]

    inbox = requests.get(mailbox.url, timeout=10)
    page = requests.get(f"{mailbox.url}/messages/{mail_id}", timeout=10)
    html = requests.get(f"{mailbox.url}/messages/{mail_id}/html", timeout=10)

    assert "<script>" not in inbox.text + page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in inbox.text
    assert "<iframe sandbox " in page.text
    assert html.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    source = requests.get(f"{mailbox.url}/messages/{mail_id}/source", timeout=10)
    assert source.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("mail_id", ["absent", "..%2f..%2fetc%2fpasswd", "x" * 300])
def test_an_unknown_mail_is_not_found(mailbox: Mailbox, mail_id: str) -> None:
    assert requests.get(f"{mailbox.url}/messages/{mail_id}", timeout=10).status_code == 404
    assert requests.get(f"{mailbox.url}/api/messages/{mail_id}", timeout=10).status_code == 404


def test_a_refused_mail_is_not_kept_and_the_next_one_is(mailbox: Mailbox) -> None:
    mailbox.fault(kind="refuse", code=451)

    with pytest.raises(smtplib.SMTPDataError) as refused:
        mailbox.send(mail(subject="First"))
    mailbox.send(mail(subject="Second"))

    assert refused.value.smtp_code == 451
    assert [found["subject"] for found in mailbox.messages()] == ["Second"]


def test_a_connection_dropped_after_accepting_has_kept_the_mail(mailbox: Mailbox) -> None:
    mailbox.fault(kind="drop_after_accepting")

    with pytest.raises(smtplib.SMTPServerDisconnected):
        mailbox.send(mail())

    assert len(mailbox.messages()) == 1


def test_a_connection_dropped_before_accepting_has_kept_nothing(mailbox: Mailbox) -> None:
    mailbox.fault(kind="drop_before_accepting", times=2)

    for _ in range(2):
        with pytest.raises(smtplib.SMTPServerDisconnected):
            mailbox.send(mail())

    assert not mailbox.messages()
    mailbox.send(mail())
    assert len(mailbox.messages()) == 1


def test_a_fault_for_one_person_leaves_the_others_alone(mailbox: Mailbox) -> None:
    mailbox.fault(kind="refuse", code=550, to="thandi@example.com")

    mailbox.send(mail(to="someone@example.com"))
    with pytest.raises(smtplib.SMTPDataError):
        mailbox.send(mail())

    left = requests.get(f"{mailbox.url}/control/faults", timeout=10).json()
    assert left == {"faults": []}


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "explode"},
        {"kind": "refuse", "times": 0},
        {"kind": "refuse", "times": True},
        {"kind": "refuse", "code": 250},
        {"kind": "refuse", "unknown": 1},
        {},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(mailbox: Mailbox, body: dict[str, object]) -> None:
    assert mailbox.fault(**body).status_code == 400


def test_a_mail_with_a_wrong_character_set_is_still_shown(mailbox: Mailbox) -> None:
    raw = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: odd\r\n"
    raw += b"Content-Type: text/plain; charset=no-such-thing\r\n\r\nbytes \xff\r\n"
    with smtplib.SMTP("127.0.0.1", mailbox.smtp_port, timeout=10) as connection:
        connection.sendmail("a@example.com", ["b@example.com"], raw)

    (found,) = mailbox.messages()

    assert found["text"].startswith("bytes")
