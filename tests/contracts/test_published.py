"""The schemas keep what their published revisions promised to writers and readers."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from octoco.messaging.contracts import CONTRACTS_DIR, Contracts
from octoco.messaging.published import FOLDER, PublishedContracts

from .bodies import bodies
from .declared import INBOUND, OUTBOUND

CONTRACTS = Contracts()
REVISIONS = [
    path
    for path in sorted((CONTRACTS_DIR / FOLDER).glob("*.json"))
    if path.name.rpartition(".r")[0] in CONTRACTS.event_types
]


def test_every_schema_keeps_its_promises_and_is_frozen() -> None:
    in_use = {event_type: service for service, event_type in [*INBOUND, *OUTBOUND]}
    assert PublishedContracts().complaints(in_use) == []


@pytest.mark.parametrize("path", REVISIONS, ids=lambda path: path.stem)
def test_what_a_writer_of_any_revision_sends_today_reads_and_the_other_way_round(
    path: Path, tmp_path: Path
) -> None:
    event_type = path.name.rpartition(".r")[0]
    (tmp_path / f"{event_type}.json").write_bytes(path.read_bytes())
    of_then = Contracts(tmp_path)
    schemas = (of_then.schema(event_type), CONTRACTS.schema(event_type))

    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(*map(bodies, schemas))
    def check(sent_then: dict[str, Any], sent_today: dict[str, Any]) -> None:
        CONTRACTS.check_inbound(event_type, sent_then)
        of_then.check_inbound(event_type, sent_today)

    check()
