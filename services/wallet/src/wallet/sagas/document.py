"""Draw the sagas: docs/sagas.md is made from the tables and lists the code runs on."""

from datetime import timedelta
from typing import Final

from wallet.domain.transactions import LEGAL_MOVES, Status, TransactionKind
from wallet.sagas.deposit import DEPOSIT_SAGA
from wallet.sagas.saga import Saga, Step
from wallet.sagas.withdrawal import WITHDRAWAL_SAGA

_HEAD: Final = """\
# Sagas

A saga is a process over several services. The wallet runs two, one for each kind of transaction.
Each keeps its state in the transaction's row: the status that users see, the step it waits at, and
when that step is due. What follows is written by `wallet diagrams` from the table of legal moves
and the lists of steps that the code runs on; a test fails when the two differ.

Rules that hold for both:

- A step past its deadline is logged, counted (`wallet_sagas_overdue`) and listed by `wallet sagas`.
  **Nothing is undone by time**: a hold ends only by what Revio is known to have done.
- Events come twice, late and in any order. A state that was passed changes nothing; a fact about
  money is never stale, only its business key decides, and every delivery of it is answered.
- Money that came in is never refused: a deposit that failed, expired or was cancelled still
  completes when it is paid, and what fits no deposit goes to suspense.
- Money that goes back at Revio is taken from whoever has it, and the deposit shows it. A deposit is
  `reversed` while a chargeback of it stands, and what it was before when that is won.
- A success that follows a failure books nothing and opens an operator case.
"""
_FIRST: Final = {
    TransactionKind.DEPOSIT: (Status.PENDING,),
    TransactionKind.WITHDRAWAL: (Status.PENDING, Status.REVIEW),
}
_SAGAS: Final = {
    TransactionKind.DEPOSIT: DEPOSIT_SAGA,
    TransactionKind.WITHDRAWAL: WITHDRAWAL_SAGA,
}


def sagas_document() -> str:
    """Return docs/sagas.md as it should be."""
    return "\n".join([_HEAD, *(_section(kind, saga) for kind, saga in _SAGAS.items())])


def _section(kind: TransactionKind, saga: Saga) -> str:
    diagram = LEGAL_MOVES[kind].as_mermaid(starts=_FIRST[kind])
    rows = [_row(step) for step in saga.steps]
    return "\n".join(
        [
            f"## {saga.name.capitalize()}",
            "",
            "```mermaid",
            diagram,
            "```",
            "",
            "| step | what happens | command sent | ended by | compensation | deadline |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _row(step: Step) -> str:
    cells = (
        f"`{step.name}`",
        step.does,
        f"`{step.command.TYPE}`" if step.command else "",
        "<br>".join([*(f"`{answer}`" for answer in step.answers), *step.decisions]),
        step.compensation,
        _words(step.deadline),
    )
    return f"| {' | '.join(cells)} |"


def _words(deadline: timedelta | None) -> str:
    if deadline is None:
        return "at once"
    minutes = int(deadline.total_seconds()) // 60
    for size, unit in ((24 * 60, "d"), (60, "h")):
        if minutes % size == 0:
            return f"{minutes // size} {unit}"
    return f"{minutes} min"
