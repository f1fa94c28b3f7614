"""Recompute the ledger from its entries, and name the first row that does not fit.

Every check reads all there is and returns at most one row: the first that breaks the rule. All of
them see one snapshot, so the ledger may go on working.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import sqlalchemy

from octoco.database import Database
from wallet.adapters.postgres.ledger_checks import LEDGER_CHECKS, Check, QueryCheck
from wallet.adapters.postgres.rollup_checks import ROLLUP_CHECKS
from wallet.adapters.postgres.seal_checks import (
    KEPT_CHAIN,
    KEPT_WHOLE,
    SEAL_CHECKS,
    SIGNATURES,
    Signatures,
    first_head_of_another_chain,
    first_seal_not_kept,
    first_unsound_signature,
    signed_seals,
)
from wallet.domain.seals import SealHead


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: the first row that does not fit, or none."""

    check: Check
    row: dict[str, str] | None

    @property
    def holds(self) -> bool:
        return self.row is None


class KeptHeads(Protocol):
    """The heads of seals outside of the database."""

    def size(self) -> int:
        """Return how much is kept by now."""
        ...

    def lines(self, *, up_to: int | None = None) -> Iterator[SealHead]:
        """Yield what is kept, in its order; only what was kept at a `size` if that is given."""
        ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the seals from outside of the database.

    Args:
        signatures: The public keys; None leaves signatures unchecked.
        heads: The heads that were kept; None leaves the end of the chain unchecked.
    """

    signatures: Signatures | None = None
    heads: KeptHeads | None = None

    @property
    def checks(self) -> Sequence[Check]:
        """The checks that this evidence allows."""
        return (
            *(() if self.signatures is None else (SIGNATURES,)),
            *(() if self.heads is None else (KEPT_CHAIN, KEPT_WHOLE)),
        )


NO_EVIDENCE: Final = Evidence()
CHECKS: Final[Sequence[QueryCheck]] = (*LEDGER_CHECKS, *ROLLUP_CHECKS, *SEAL_CHECKS)

# The queries are sent as they stand: nothing in them is a parameter.
_NO_PARAMETERS: Final = {"no_parameters": True}


def audit_ledger(
    database: Database,
    *,
    evidence: Evidence = NO_EVIDENCE,
    on_check: Callable[[Check], None],
) -> Sequence[Finding]:
    """Run every check on one REPEATABLE READ snapshot of a live ledger.

    Args:
        database: Of the wallet.
        evidence: What is known from outside of the database.
        on_check: Told of each check before it runs.

    Returns:
        One finding for each check, in the order of docs/ledger.md.
    """
    # Before the snapshot: what is kept outside by now must be in it.
    kept = 0 if evidence.heads is None else evidence.heads.size()
    return database.read(
        lambda connection: findings_on(connection, evidence=evidence, kept=kept, on_check=on_check)
    )


def findings_on(
    connection: sqlalchemy.Connection,
    *,
    evidence: Evidence = NO_EVIDENCE,
    kept: int = 0,
    on_check: Callable[[Check], None],
) -> Sequence[Finding]:
    """Run every check on what an open connection sees.

    Args:
        connection: In a database transaction.
        evidence: What is known from outside of the database.
        kept: How much was kept outside before the snapshot was taken.
        on_check: Told of each check before it runs.
    """
    _prepare(connection)
    findings = []
    for check in CHECKS:
        on_check(check)
        found = connection.exec_driver_sql(check.query, execution_options=_NO_PARAMETERS)
        row = found.one_or_none()
        findings.append(_finding(check, None if row is None else row._mapping))  # noqa: SLF001
    return (*findings, *_findings_outside(connection, evidence, kept=kept, on_check=on_check))


def _findings_outside(
    connection: sqlalchemy.Connection,
    evidence: Evidence,
    *,
    kept: int,
    on_check: Callable[[Check], None],
) -> Iterator[Finding]:
    if evidence.signatures is not None:
        on_check(SIGNATURES)
        row = first_unsound_signature(signed_seals(connection), evidence.signatures)
        yield _finding(SIGNATURES, row)
    if evidence.heads is not None:
        on_check(KEPT_CHAIN)
        before = evidence.heads.lines(up_to=kept)
        yield _finding(KEPT_CHAIN, first_head_of_another_chain(signed_seals(connection), before))
        on_check(KEPT_WHOLE)
        # All of it: what the snapshot holds was kept by now.
        after = evidence.heads.lines()
        yield _finding(KEPT_WHOLE, first_seal_not_kept(signed_seals(connection), after))


def _prepare(connection: sqlalchemy.Connection) -> None:
    # Reading everything takes longer than a request may, and wants more memory than a posting;
    # what is hashed is text, which must not depend on the session.
    connection.exec_driver_sql(
        "SET LOCAL statement_timeout = 0; SET LOCAL work_mem = '64MB'; SET LOCAL jit = off; "
        "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'"
    )


def _finding(check: Check, row: Any) -> Finding:
    return Finding(
        check, None if row is None else {name: str(value) for name, value in row.items()}
    )
