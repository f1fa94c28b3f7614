"""Money that goes back, and what operators do about it, beside all that users and provider do."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, multiple, rule

from octoco.ids import new_id
from octoco.money import Money
from wallet.use_cases.assign_suspense import assign_suspense
from wallet.use_cases.decide_adjustment import decide_adjustment
from wallet.use_cases.enter_suspense import enter_suspense, undo_suspense_entry
from wallet.use_cases.request_adjustment import request_adjustment
from wallet.use_cases.review_withdrawal import approve_withdrawal, refuse_withdrawal

from .driving import instant
from .fresh_wallets import FreshWallets
from .ledger_model import Refused
from .machine_of_payments import AMOUNTS, AS_IT_IS, MUTATIONS, ROUND, PaymentsMachine, mutated

OPERATORS = tuple(new_id("usr") for _ in range(2))
WHO = st.sampled_from(OPERATORS)
REASON = "The model says so."


class WalletMachine(PaymentsMachine):
    """Everything that can happen to the wallet, on both sides."""

    refunds = Bundle("refunds")
    chargebacks = Bundle("chargebacks")
    adjustments = Bundle("adjustments")
    entries = Bundle("entries")

    def __init__(self, wallets: FreshWallets) -> None:
        super().__init__(wallets)
        self._purchase_of: dict[str, str] = {}
        # By id: whose, how much, who asked, and what was decided by whom.
        self._adjustments: dict[str, tuple[str, Money, str]] = {}
        self._decided: dict[str, tuple[bool, str]] = {}
        self._entered_by: dict[str, str] = {}

    # ---- money that goes back

    @initialize(target=chargebacks)
    def begin_with_a_debt(self) -> Any:
        user_id = self.first[1]
        purchase = self.pay_in(user_id, ROUND, None)
        self.spend_what_comes_in(user_id)
        return self.charge_back(purchase, 1, AS_IT_IS)

    @initialize(target=refunds)
    def begin_with_a_refund(self) -> Any:
        return self.refund(self.pay_in(self.first[0], ROUND, None), 2, AS_IT_IS)

    @initialize(target=adjustments)
    def begin_with_adjustments(self) -> Any:
        return multiple(
            *(
                self.ask_adjustment(self.first[0], ROUND, taken=taken, who=OPERATORS[0])
                for taken in (False, True)
            )
        )

    @initialize(target=entries)
    def begin_with_an_entry(self) -> Any:
        return self.enter_money(ROUND, OPERATORS[0])

    @rule(
        target=refunds,
        purchase=PaymentsMachine.purchases,
        part=st.sampled_from([1, 2, 3]),
        mutation=MUTATIONS,
    )
    def refund(self, purchase: str, part: int, mutation: str) -> Any:
        payment_id = new_id("pay")
        self._purchase_of[payment_id] = purchase
        self._tell_refund(payment_id, purchase, mutated(self._part_of(purchase, part), mutation))
        return payment_id

    @rule(refund=refunds, mutation=MUTATIONS)
    def tell_again_of_a_refund(self, refund: str, mutation: str) -> None:
        money, _ = self.model.told[f"refund:{refund}"]
        self._tell_refund(refund, self._purchase_of[refund], mutated(money, mutation))

    @rule(
        target=chargebacks,
        purchase=PaymentsMachine.purchases,
        part=st.sampled_from([1, 1, 2]),
        mutation=MUTATIONS,
    )
    def charge_back(self, purchase: str, part: int, mutation: str) -> Any:
        chargeback_id = new_id("cbk")
        self._purchase_of[chargeback_id] = purchase
        money = mutated(self._part_of(purchase, part), mutation)
        self._tell_chargeback(chargeback_id, purchase, money)
        return chargeback_id

    @rule(chargeback=chargebacks, mutation=MUTATIONS)
    def tell_again_of_a_chargeback(self, chargeback: str, mutation: str) -> None:
        money, _ = self.model.told[f"chargeback:{chargeback}"]
        self._tell_chargeback(chargeback, self._purchase_of[chargeback], mutated(money, mutation))

    @rule(
        chargeback=chargebacks,
        other=st.none() | PaymentsMachine.purchases,
        mutation=MUTATIONS,
    )
    def win_a_chargeback(self, chargeback: str, other: str | None, mutation: str) -> None:
        purchase = other or self._purchase_of[chargeback]
        money = mutated(self.model.told[f"chargeback:{chargeback}"][0], mutation)
        transaction_id = self.model.told[f"purchase:{purchase}"][1].transaction_id
        self.driver.deliver(
            "payments.chargeback.reversed.v1",
            fact_key=f"chargeback_reversed:{chargeback}",
            chargeback_id=chargeback,
            purchase_id=purchase,
            transaction_id=transaction_id,
            amount=money.amount_text,
            currency=money.currency,
            reversed_at=instant(),
        )
        answer = self.model.chargeback_won(
            chargeback, purchase, money, transaction_id=transaction_id
        )
        self.expect_answer(f"chargeback_reversed:{chargeback}", answer)

    # ---- what operators do

    @rule(withdrawal=PaymentsMachine.withdrawals, who=WHO, approve=st.booleans())
    def review(self, withdrawal: str, who: str, *, approve: bool) -> None:
        decide = approve_withdrawal if approve else refuse_withdrawal
        self.both(
            lambda unit: decide(
                unit,
                transaction_id=withdrawal,
                operator_id=who,
                reason=REASON,
                at=datetime.now(UTC),
            ),
            lambda: self.model.review(withdrawal, approve=approve),
        )

    @rule(
        target=adjustments,
        user_id=PaymentsMachine.users,
        money=AMOUNTS,
        taken=st.booleans(),
        who=WHO,
    )
    def ask_adjustment(self, user_id: str, money: Money, *, taken: bool, who: str) -> str:
        money = -money if taken else money
        asked = self.wallet.units.run(
            lambda unit: request_adjustment(
                unit,
                operator_id=who,
                user_id=user_id,
                money=money,
                reason=REASON,
                at=datetime.now(UTC),
            )
        )
        self._adjustments[asked.id] = (user_id, money, who)
        return asked.id

    @rule(adjustment=adjustments, who=WHO, approve=st.booleans())
    def decide_an_adjustment(self, adjustment: str, who: str, *, approve: bool) -> None:
        self.both(
            lambda unit: decide_adjustment(
                unit,
                operator_id=who,
                adjustment_id=adjustment,
                approve=approve,
                reason=REASON,
                at=datetime.now(UTC),
            ),
            partial(self._decide, adjustment, who, approve=approve),
        )

    @rule(
        purchase=PaymentsMachine.purchases | entries,
        user_id=PaymentsMachine.users,
        deposit=st.none() | PaymentsMachine.deposits,
        who=WHO,
    )
    def assign_money_in_suspense(
        self, purchase: str, user_id: str, deposit: str | None, who: str
    ) -> None:
        if deposit is not None:
            user_id = self.model.transactions[deposit].user_id
        self.both(
            lambda unit: assign_suspense(
                unit,
                operator_id=who,
                purchase_id=purchase,
                user_id=user_id,
                transaction_id=deposit,
                reason=REASON,
                at=datetime.now(UTC),
            ),
            partial(self._assign, purchase, user_id, deposit, who),
        )

    @rule(target=entries, money=AMOUNTS, who=WHO)
    def enter_money(self, money: Money, who: str) -> str:
        reference = new_id("pur")
        self._enter(reference, money, who)
        return reference

    @rule(reference=entries | PaymentsMachine.purchases, money=AMOUNTS, who=WHO)
    def enter_money_again(self, reference: str, money: Money, who: str) -> None:
        self._enter(reference, money, who)

    @rule(reference=entries | PaymentsMachine.purchases, who=WHO)
    def undo_an_entry(self, reference: str, who: str) -> None:
        self.both(
            lambda unit: undo_suspense_entry(
                unit,
                operator_id=who,
                reference=reference,
                reason=REASON,
                at=datetime.now(UTC),
            ),
            lambda: self.model.undo_entry(reference),
        )

    @rule(
        entry=entries,
        deposit=st.none() | PaymentsMachine.deposits,
        mutation=MUTATIONS,
        target=PaymentsMachine.purchases,
    )
    def tell_of_what_was_entered(self, entry: str, deposit: str | None, mutation: str) -> Any:
        told = self.model.told.get(f"purchase:{entry}")
        if told is None:
            return multiple()
        self.tell_paid(entry, deposit, mutated(told[0], mutation), None)
        return entry

    # ---- both sides

    def _part_of(self, purchase: str, part: int) -> Money:
        money = self.model.books.posted[f"purchase:{purchase}"].money
        return Money.from_minor(max(1, money.to_minor() // part), money.currency)

    def _tell_refund(self, payment_id: str, purchase: str, money: Money) -> None:
        key = f"refund:{payment_id}"
        facts = {"payment_id": payment_id, "refunded_at": instant()}
        self._tell_taken_back("payments.refund.succeeded.v1", key, purchase, money, **facts)

    def _tell_chargeback(self, chargeback_id: str, purchase: str, money: Money) -> None:
        key = f"chargeback:{chargeback_id}"
        facts = {"chargeback_id": chargeback_id, "opened_at": instant()}
        self._tell_taken_back("payments.chargeback.opened.v1", key, purchase, money, **facts)

    def _tell_taken_back(
        self, event_type: str, key: str, purchase: str, money: Money, **facts: str
    ) -> None:
        transaction_id = self.model.told[f"purchase:{purchase}"][1].transaction_id
        self.driver.deliver(
            event_type,
            fact_key=key,
            purchase_id=purchase,
            transaction_id=transaction_id,
            amount=money.amount_text,
            currency=money.currency,
            **facts,
        )
        answer = self.model.taken_back(
            key, key.partition(":")[0], purchase, money, transaction_id=transaction_id
        )
        self.expect_answer(key, answer)

    def _decide(self, adjustment: str, who: str, *, approve: bool) -> None:
        user_id, money, asker = self._adjustments[adjustment]
        if who == asker:
            raise Refused("adjustment_needs_two_people")
        if adjustment in self._decided:
            if self._decided[adjustment] != (approve, who):
                raise Refused("adjustment_already_decided")
            return
        if approve:
            self.model.books.adjust(adjustment, user_id, money)
        self._decided[adjustment] = (approve, who)

    def _enter(self, reference: str, money: Money, who: str) -> None:
        self.both(
            lambda unit: enter_suspense(
                unit,
                operator_id=who,
                reference=reference,
                money=money,
                reason=REASON,
                at=datetime.now(UTC),
            ),
            partial(self._note_entry, reference, money, who),
        )

    def _note_entry(self, reference: str, money: Money, who: str) -> None:
        self.model.enter(reference, money)
        self._entered_by[reference] = who

    def _assign(self, purchase: str, user_id: str, deposit: str | None, who: str) -> None:
        # No operator of the machine is a user of it, so nobody assigns to themselves here.
        if self._entered_by.get(purchase) == who:
            raise Refused("assignment_needs_two_people")
        self.model.assign(purchase, user_id, deposit)
