"""`wallet ledger verify` as an operator or an auditor runs it."""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from click.testing import CliRunner, Result

from octoco.config import read_settings_or_exit
from octoco.ids import new_id
from octoco.testing import eventually
from wallet.adapters.seal_heads_file import SealHeadsFile
from wallet.adapters.seal_signatures import Ed25519Signer, public_key_of
from wallet.bootstrap import Sealing, build_sealing
from wallet.config import SealSettings, Settings, read_seals
from wallet.domain.seals import SealKey
from wallet.entrypoints.cli import main
from wallet.entrypoints.sealing import seal

from .driving import Driver, zar
from .own_database import OwnDatabase, own_database

KEY = SealKey("test-1", bytes(range(32)))


def in_text(key: SealKey) -> str:
    return f"{key.key_id}:{base64.b64encode(key.value).decode()}"


@dataclass
class Office:
    """Where somebody verifies books: the database, public keys, and the file of heads."""

    database: OwnDatabase
    sealing: Sealing
    heads_path: Path
    user_id: str

    @property
    def environment(self) -> dict[str, str | None]:
        return {
            "DATABASE_URL": self.database.service_url,
            "LEDGER_SEAL_KEYS": None,
            "LEDGER_SEAL_PUBLIC_KEYS": in_text(public_key_of(KEY)),
            "LEDGER_SEAL_HEADS_FILE": str(self.heads_path),
        }

    def run(self, *arguments: str, **changed: str | None) -> Result:
        return CliRunner().invoke(main, arguments, env=self.environment | changed)

    def seal_all(self) -> None:
        def nothing_waits() -> bool:
            seal(self.database.wallet, self.sealing)
            return self.sealing.seals.backlog().transfers == 0

        eventually(nothing_waits, within_seconds=60, what="every transfer sealed")

    def tamper(self, statement: str) -> None:
        connection = psycopg2.connect(self.database.admin_url)
        with connection.cursor() as cursor:
            cursor.execute("SET search_path = wallet; SET session_replication_role = replica")
            cursor.execute(statement, {"user": self.user_id})
        connection.commit()
        connection.close()


@pytest.fixture
def office(
    settings: Settings, postgres_admin_url: str, token_keys: Any, tmp_path: Path
) -> Iterator[Office]:
    path = tmp_path / "heads.jsonl"
    with own_database(settings, admin_url=postgres_admin_url, token_keys=token_keys) as database:
        driver = Driver(database.wallet)
        user_id = driver.user_with("250.00")
        bank_account_id = driver.new_bank_account(user_id)
        paid, _ = (
            driver.request_withdrawal(user_id, zar("20.00"), bank_account_id=bank_account_id)
            for _ in range(2)
        )
        driver.accept_payout(paid.id, new_id("out"))
        driver.succeed_payout(paid.id, zar("20.00"), new_id("out"), fee="1.00")
        sealing = build_sealing(database.wallet, SealSettings(KEY, path))
        office = Office(database, sealing, path, user_id)
        office.seal_all()
        yield office


def test_sound_books_are_verified_with_signatures_and_heads(office: Office) -> None:
    done = office.run("ledger", "verify")
    assert done.exit_code == 0, done.output
    assert "the ledger is verified" in done.stdout
    assert "each seal is signed by a key that is known" in done.stdout
    found = json.loads(office.run("ledger", "verify", "--json").stdout)
    assert (found["verified"], found["not_checked"]) == (True, [])
    assert all(check["holds"] for check in found["checks"])


def test_a_row_that_does_not_fit_ends_with_1_and_is_shown(office: Office) -> None:
    office.tamper(
        """
        UPDATE ledger_accounts SET balance = balance + 1
        WHERE user_id = %(user)s AND kind = 'available'
        """
    )
    done, as_json = office.run("ledger", "verify"), office.run("ledger", "verify", "--json")
    assert (done.exit_code, as_json.exit_code) == (1, 1)
    assert "BROKEN  L5   each balance equals its entries" in done.stdout
    assert office.user_id in done.stdout
    assert "the ledger is BROKEN: " in done.stdout
    found = json.loads(as_json.stdout)
    assert found["verified"] is False
    (broken,) = (check for check in found["checks"] if not check["holds"])
    assert broken["first_row"]["user_id"] == office.user_id


def test_the_end_of_the_chain_cannot_be_cut_unseen(office: Office) -> None:
    Driver(office.database.wallet).user_with("5.00")
    office.seal_all()
    office.tamper("DELETE FROM ledger_seals WHERE number = (SELECT max(number) FROM ledger_seals)")
    done = office.run("ledger", "verify")
    assert done.exit_code == 1
    assert "BROKEN  S4   the seals kept outside are those in the database" in done.stdout
    assert office.run("ledger", "verify", "--without-heads").exit_code == 0


def test_it_holds_while_money_moves_and_seals_are_made(office: Office) -> None:
    stop = threading.Event()
    driver = Driver(office.database.wallet)

    def work() -> None:
        while not stop.is_set():
            driver.user_with("1.00")
            seal(office.database.wallet, office.sealing)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(3):
            done = office.run("ledger", "verify")
            assert done.exit_code == 0, done.output
    finally:
        stop.set()
        thread.join()


def test_what_is_missing_is_named_and_ends_with_2(office: Office) -> None:
    without_keys = office.run("ledger", "verify", LEDGER_SEAL_PUBLIC_KEYS=None)
    assert without_keys.exit_code == 2
    assert "LEDGER_SEAL_PUBLIC_KEYS is not set" in without_keys.stderr
    without_file = office.run("ledger", "verify", LEDGER_SEAL_HEADS_FILE=None)
    assert without_file.exit_code == 2
    assert "LEDGER_SEAL_HEADS_FILE is not set" in without_file.stderr
    without_database = office.run("ledger", "verify", DATABASE_URL=None)
    assert without_database.exit_code == 2
    assert "DATABASE_URL is not set" in without_database.stderr
    elsewhere = office.run("ledger", "verify", DATABASE_URL="postgresql://x@127.0.0.1:9/x")
    assert elsewhere.exit_code == 2
    assert "the ledger could not be verified" in elsewhere.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["ledger", "verify", "--without-signatures", "--without-heads"],
        ["ledger", "verify"],
        ["ledger", "trial-balance"],
        ["ledger", "statement", "usr_any"],
    ],
)
@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "nonsense://x@y/z",
        "postgresql://host:no-port/x",
        "postgresql://x@127.0.0.1:9/x",
        "postgresql://x@127.0.0.1:9/x?no_such_option=1",
    ],
)
def test_a_database_that_cannot_be_read_is_one_line_and_ends_with_2(
    office: Office, arguments: list[str], address: str
) -> None:
    done = office.run(*arguments, DATABASE_URL=address)
    assert done.exit_code == 2, done.output
    assert done.stderr.splitlines()[-1].startswith("the ledger could not be ")
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    "arguments",
    [["verify", "--without-heads"], ["verify"], ["trial-balance"], ["statement", "usr_any"]],
)
def test_a_role_without_rights_is_one_line_and_ends_with_2(
    office: Office, arguments: list[str]
) -> None:
    connection = psycopg2.connect(office.database.owner_url)
    with connection.cursor() as cursor:
        cursor.execute("REVOKE USAGE ON SCHEMA wallet FROM wallet")
    connection.commit()
    connection.close()
    done = office.run("ledger", *arguments)
    assert done.exit_code == 2, done.output
    assert done.stderr.splitlines()[-1].startswith("the ledger could not be ")
    assert isinstance(done.exception, SystemExit)


def test_a_file_of_heads_that_is_not_there_is_no_finding(office: Office, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.jsonl"
    done = office.run("ledger", "verify", LEDGER_SEAL_HEADS_FILE=str(elsewhere))
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert f"LEDGER_SEAL_HEADS_FILE names {elsewhere}" in line
    assert "BROKEN" not in done.output
    assert not elsewhere.exists()
    without = office.run(
        "ledger", "verify", "--without-heads", LEDGER_SEAL_HEADS_FILE=str(elsewhere)
    )
    assert without.exit_code == 0, without.output


def test_what_is_left_out_is_said(office: Office) -> None:
    done = office.run(
        "ledger",
        "verify",
        "--without-signatures",
        "--without-heads",
        LEDGER_SEAL_PUBLIC_KEYS=None,
        LEDGER_SEAL_HEADS_FILE=None,
    )
    assert done.exit_code == 0
    assert "not checked: signatures" in done.stdout
    assert "not checked: heads kept outside" in done.stdout


def test_public_keys_may_come_from_the_private_ones(office: Office) -> None:
    done = office.run(
        "ledger", "verify", LEDGER_SEAL_PUBLIC_KEYS=None, LEDGER_SEAL_KEYS=in_text(KEY)
    )
    assert done.exit_code == 0
    printed = office.run(
        "ledger", "seal-public-keys", LEDGER_SEAL_PUBLIC_KEYS=None, LEDGER_SEAL_KEYS=in_text(KEY)
    )
    assert printed.stdout.strip() == in_text(public_key_of(KEY))
    differing = office.run(
        "ledger", "verify", LEDGER_SEAL_KEYS=in_text(replace(KEY, value=bytes(32)))
    )
    assert differing.exit_code == 2
    assert "holds another key test-1" in differing.stderr


def test_a_new_key_is_printed_with_its_public_half(office: Office) -> None:
    made = office.run("ledger", "new-seal-key", "--id", "2027-01")
    private, public = made.stdout.split()
    seed = SealKey("2027-01", base64.b64decode(private.removeprefix("2027-01:")))
    assert public == in_text(public_key_of(seed))
    assert office.run("ledger", "new-seal-key").stdout != made.stdout


@pytest.mark.parametrize("key_id", ["bad:id,x", "", "-first", "x" * 65, "é"])
def test_a_key_id_that_could_not_be_read_back_is_refused(key_id: str) -> None:
    refused = CliRunner().invoke(main, ["ledger", "new-seal-key", "--id", key_id])
    assert (refused.exit_code, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert "is no key id" in line


def test_the_worker_knows_every_key_it_is_given(office: Office) -> None:
    older, other = SealKey("test-0", bytes(32)), SealKey("test-x", b"x" * 32)
    settings = read_seals_from(
        LEDGER_SEAL_KEYS=f"{in_text(KEY)},{in_text(older)}",
        LEDGER_SEAL_PUBLIC_KEYS=in_text(public_key_of(other)),
        LEDGER_SEAL_HEADS_FILE=str(office.heads_path),
    )
    signer = build_sealing(office.database.wallet, settings).signer
    (head,) = SealHeadsFile(office.heads_path).lines()
    for key in (KEY, older, other):
        signature = Ed25519Signer(key).sign(head.hash)
        assert signer.holds(replace(head, key_id=key.key_id, signature=signature))
        assert not signer.holds(replace(head, key_id=key.key_id, signature=bytes(64)))


def read_seals_from(**environment: str) -> SealSettings:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return read_settings_or_exit(read_seals)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"LEDGER_SEAL_KEYS": None}, "LEDGER_SEAL_KEYS is not set"),
        ({"LEDGER_SEAL_KEYS": "k:c2hvcnQ="}, "LEDGER_SEAL_KEYS is malformed"),
        ({"LEDGER_SEAL_KEYS": "no colon"}, "LEDGER_SEAL_KEYS is malformed"),
        ({"LEDGER_SEAL_KEYS": f"{in_text(KEY)},{in_text(KEY)}"}, "LEDGER_SEAL_KEYS names a key"),
        (
            {"LEDGER_SEAL_PUBLIC_KEYS": in_text(replace(KEY, value=bytes(32)))},
            "LEDGER_SEAL_PUBLIC_KEYS holds another key test-1",
        ),
        ({"LEDGER_SEAL_HEADS_FILE": None}, "LEDGER_SEAL_HEADS_FILE is not set"),
        ({"LEDGER_SEAL_HEADS_FILE": "/nowhere/x"}, "LEDGER_SEAL_HEADS_FILE must name a file"),
        ({"LEDGER_SEAL_HEADS_FILE": "/"}, "LEDGER_SEAL_HEADS_FILE must name a file"),
    ],
)
def test_a_worker_without_what_it_seals_with_does_not_start(
    office: Office, changed: dict[str, str | None], said: str
) -> None:
    whole = {
        "AMQP_URL": "amqp://unused",
        "JWKS_URL": "http://127.0.0.1:9/unused",
        "LEDGER_SEAL_KEYS": in_text(KEY),
    }
    stopped = office.run("worker", **(whole | changed))
    assert stopped.exit_code == 2
    assert said in stopped.stderr
    assert len(stopped.stderr.splitlines()) == 1
