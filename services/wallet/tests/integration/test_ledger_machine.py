"""Whatever happens to the wallet, in whatever order, its books are what a small model says.

Hypothesis plays users, the provider and operators against the real use cases on real PostgreSQL.
After every step all balances, transfers and transactions are those of the model, and everything
that `wallet ledger verify` checks holds. A failure names its seed, and HYPOTHESIS_EXAMPLES plays
longer.
"""

from functools import partial
from typing import Final, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from octoco.testing.seeds import examples

from .fresh_wallets import FreshWallets
from .machine_of_operators import WalletMachine

SECONDS_MAX: Final = 6 * 3600


@pytest.mark.slow
@pytest.mark.hypothesis
@pytest.mark.timeout(SECONDS_MAX)
def test_whatever_happens_the_books_are_what_the_model_says(fresh_wallets: FreshWallets) -> None:
    run_state_machine_as_test(
        # It is called for each example, which is all that is asked of it.
        cast("type[WalletMachine]", partial(WalletMachine, fresh_wallets)),
        settings=settings(
            max_examples=examples(35),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Explaining a failure takes many more runs of it.
            phases=(Phase.generate, Phase.target, Phase.shrink),
        ),
    )
