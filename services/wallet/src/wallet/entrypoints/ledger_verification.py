"""`wallet ledger verify`, and the tools for the keys that seals are signed with."""

import base64
import json
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from octoco.config import read_settings_or_exit
from octoco.database import Database
from wallet.adapters.postgres.ledger_audit import CHECKS, Evidence, Finding, audit_ledger
from wallet.adapters.postgres.ledger_checks import Check
from wallet.adapters.postgres.seals import PostgresSeals
from wallet.adapters.seal_heads_file import SealHeadsFile
from wallet.adapters.seal_signatures import (
    Ed25519Verifier,
    known_public_keys,
    public_key_of,
)
from wallet.config import (
    KEY_ID,
    read_heads_file,
    read_seal_private_keys,
    read_seal_public_keys,
)
from wallet.domain.seals import SealKey
from wallet.entrypoints.ledger_database import give_up, ledger_database

_FAILING: Final = "the ledger could not be verified"

_HELP = """Recompute the whole ledger in one snapshot of it, while it goes on working.

Every rule of docs/ledger.md is checked: transfers, balances, holds, deposits, seals with their
signatures, and the heads of seals that are kept outside of the database. A rule that does not hold
is shown with the first row that breaks it.

Reads DATABASE_URL, LEDGER_SEAL_PUBLIC_KEYS (or LEDGER_SEAL_KEYS) and LEDGER_SEAL_HEADS_FILE.

Exit status: 0 everything holds; 1 a row does not fit; 2 it could not be verified.
"""


@click.command(help=_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option(
    "--without-signatures", is_flag=True, help="Do not check signatures; needs no public keys."
)
@click.option("--without-heads", is_flag=True, help="Do not compare with the heads kept outside.")
def verify(*, as_json: bool, without_signatures: bool, without_heads: bool) -> None:
    signatures = None if without_signatures else Ed25519Verifier(_public_keys())
    heads_file = None if without_heads else read_settings_or_exit(read_heads_file)
    evidence = Evidence(signatures, None if heads_file is None else SealHeadsFile(heads_file))
    with ledger_database(failing=_FAILING) as database:
        if heads_file is not None:
            _require_heads(database, heads_file)
        findings = _audit(database, evidence)
    left_out = [
        *(["signatures"] if without_signatures else []),
        *(["heads kept outside"] if without_heads else []),
    ]
    click.echo((_as_json if as_json else _as_text)(findings, left_out))
    if not all(finding.holds for finding in findings):
        raise SystemExit(1)


@click.command(name="new-seal-key", help="Make a key that seals can be signed with, and print it.")
@click.option("--id", "key_id", help="Its name; the month and a random part if not given.")
def new_seal_key(*, key_id: str | None) -> None:
    name = f"{datetime.now(UTC):%Y-%m}-{secrets.token_hex(3)}" if key_id is None else key_id
    if not KEY_ID.fullmatch(name):
        give_up(
            "no key was made",
            f"{name!r} is no key id: up to 64 letters, digits, '.', '_' and '-', "
            "a letter or digit first",
        )
    private_key = SealKey(name, secrets.token_bytes(32))
    click.echo("private, to be put in front of LEDGER_SEAL_KEYS of the worker:", err=True)
    click.echo(_in_text(private_key))
    click.echo("public, to be added to LEDGER_SEAL_PUBLIC_KEYS of whoever verifies:", err=True)
    click.echo(_in_text(public_key_of(private_key)))


@click.command(
    name="seal-public-keys", help="Print the value of LEDGER_SEAL_PUBLIC_KEYS for auditors."
)
def print_seal_public_keys() -> None:
    click.echo(",".join(_in_text(key) for key in _public_keys()))


def _require_heads(database: Database, heads_file: Path) -> None:
    # Asked first, so that what cannot be read is told before the progress begins.
    signed = PostgresSeals(database).signed_after(0, limit=1)
    # No finding about the chain: most likely the name is wrong, or the file is elsewhere.
    if signed and not heads_file.exists():
        give_up(
            _FAILING,
            f"LEDGER_SEAL_HEADS_FILE names {heads_file}, which does not exist, though seals are "
            "signed; name the file or a copy of it, or leave it out with --without-heads",
        )


def _audit(database: Database, evidence: Evidence) -> Sequence[Finding]:
    checks = len(CHECKS) + len(evidence.checks)
    # On a screen the bar is drawn; elsewhere there is one line of it.
    with click.progressbar(
        length=checks, label="verifying", file=sys.stderr, item_show_func=_name_of
    ) as progress:
        # Told before a check runs: the name that is shown is of the one that takes so long.
        def tell(check: Check) -> None:
            progress.update(0 if progress.current_item is None else 1, check)
            progress.current_item = check
            progress.render_progress()

        findings = audit_ledger(database, evidence=evidence, on_check=tell)
        progress.update(1)
    return findings


def _name_of(check: Check | None) -> str | None:
    return None if check is None else f"{check.rule} {check.name}"


def _public_keys() -> Sequence[SealKey]:
    keys = read_settings_or_exit(
        lambda env: known_public_keys(read_seal_private_keys(env), read_seal_public_keys(env))
    )
    if not keys:
        give_up(
            _FAILING,
            "LEDGER_SEAL_PUBLIC_KEYS is not set; set it, or leave signatures out with "
            "--without-signatures",
        )
    return keys


def _in_text(key: SealKey) -> str:
    return f"{key.key_id}:{base64.b64encode(key.value).decode()}"


def _as_json(findings: Sequence[Finding], left_out: Sequence[str]) -> str:
    return json.dumps(
        {
            "verified": all(finding.holds for finding in findings),
            "not_checked": left_out,
            "checks": [
                {
                    "rule": finding.check.rule,
                    "name": finding.check.name,
                    "holds": finding.holds,
                    "first_row": finding.row,
                }
                for finding in findings
            ],
        },
        indent=2,
    )


def _as_text(findings: Sequence[Finding], left_out: Sequence[str]) -> str:
    lines = []
    for finding in findings:
        held = "ok    " if finding.holds else "BROKEN"
        lines.append(f"{held}  {finding.check.rule:<3}  {finding.check.name}")
        if finding.row is not None:
            facts = ", ".join(f"{name}={value}" for name, value in finding.row.items())
            lines.append(f"        first row: {facts}")
    lines += [f"not checked: {what}" for what in left_out]
    broken = sum(not finding.holds for finding in findings)
    lines.append(
        f"the ledger is verified: {len(findings)} checks hold"
        if not broken
        else f"the ledger is BROKEN: {broken} of {len(findings)} checks do not hold"
    )
    return "\n".join(lines)
