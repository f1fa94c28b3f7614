"""Which delivery is begun next, alone or with others, and which has to wait."""

import threading
from collections.abc import Sequence
from contextlib import ExitStack

import pika

from octoco.messaging.deliveries import (
    BATCH_BYTES_MAX,
    Delivery,
    Hand,
    ReadyDeliveries,
    Source,
    Verdict,
)

FLOOD = "probe.flood.v1"
OTHER = "probe.other.v1"


def settle(judged: Sequence[tuple[Delivery, Verdict]]) -> None:
    """Stand in for a connection."""


CONNECTION = Source(settle)


def delivery(
    tag: int,
    event_type: str = FLOOD,
    aggregate_id: str | None = None,
    *,
    attempt: int | None = None,
    redelivered: bool = False,
    body: bytes = b"{}",
) -> Delivery:
    headers: dict[str, object] = {
        "cloudEvents_type": event_type,
        "cloudEvents_subject": aggregate_id or f"aggregate {tag}",
    }
    if attempt is not None:
        headers["x-octoco-attempt"] = attempt
    return Delivery(tag, pika.BasicProperties(headers=headers), body, redelivered)


def ready_with(*deliveries: Delivery, batch_size: int = 100) -> ReadyDeliveries:
    ready = ReadyDeliveries(batch_types={FLOOD}, batch_size=batch_size)
    for one in deliveries:
        ready.put(CONNECTION, one)
    return ready


def take(ready: ReadyDeliveries, hands: ExitStack) -> Hand:
    hand = hands.enter_context(ready.take())
    assert hand is not None
    return hand


def tags(hand: Hand) -> list[int]:
    return [one.tag for one in hand.deliveries]


def test_what_is_ready_of_one_type_is_taken_together_in_order() -> None:
    ready = ready_with(delivery(1), delivery(2, OTHER), delivery(3), delivery(4), batch_size=2)
    with ExitStack() as hands:
        assert tags(take(ready, hands)) == [1, 3]
        assert tags(take(ready, hands)) == [2]


def test_one_thread_at_a_time_has_the_turn_and_others_take_what_is_no_batch() -> None:
    ready = ready_with(delivery(1), delivery(2, OTHER), delivery(3, OTHER))
    with ExitStack() as hands:
        with ExitStack() as turn:
            assert tags(take(ready, turn)) == [1]
            ready.put(CONNECTION, delivery(4))
            assert tags(take(ready, hands)) == [2]
            assert tags(take(ready, hands)) == [3]
        assert tags(take(ready, hands)) == [4]


def test_nothing_overtakes_its_own_aggregate() -> None:
    ready = ready_with(
        delivery(1, OTHER, "a"),
        delivery(2, FLOOD, "a"),
        delivery(3, FLOOD, "b"),
        delivery(4, OTHER, "a"),
        delivery(5, FLOOD, "a"),
        delivery(6, FLOOD, "b"),
    )
    with ExitStack() as hands:
        with ExitStack() as first:
            assert tags(take(ready, first)) == [1]
            assert tags(take(ready, hands)) == [3, 6]
        hands.close()
        assert tags(take(ready, hands)) == [2]
        hands.close()
        assert tags(take(ready, hands)) == [4]
        hands.close()
        assert tags(take(ready, hands)) == [5]


def test_what_had_trouble_before_is_handled_by_itself_and_takes_no_turn() -> None:
    ready = ready_with(
        delivery(1), delivery(2, attempt=1), delivery(3, redelivered=True), delivery(4)
    )
    with ExitStack() as hands:
        assert tags(take(ready, hands)) == [1, 4]
        assert tags(take(ready, hands)) == [2]
        assert tags(take(ready, hands)) == [3]


def test_of_what_a_process_may_have_died_of_one_is_in_hand_at_a_time() -> None:
    died = {"x-octoco-reason": "ProcessDied: the process ended"}
    back = Delivery(4, pika.BasicProperties(headers=died), b"{}")
    ready = ready_with(
        delivery(1, OTHER, redelivered=True),
        delivery(2, OTHER, "b", redelivered=True),
        delivery(3, OTHER, "b"),
        back,
        delivery(5, OTHER),
    )
    with ExitStack() as hands:
        with ExitStack() as suspect:
            assert tags(take(ready, suspect)) == [1]
            # The others go on, but for what would overtake its own aggregate.
            assert tags(take(ready, hands)) == [5]
        with ExitStack() as suspect:
            assert tags(take(ready, suspect)) == [2]
        assert tags(take(ready, hands)) == [3]
        assert tags(take(ready, hands)) == [4]


def test_large_bodies_make_small_batches() -> None:
    large = b"x" * (BATCH_BYTES_MAX // 2)
    ready = ready_with(*(delivery(tag, body=large) for tag in (1, 2, 3)))
    with ExitStack() as hands:
        assert tags(take(ready, hands)) == [1, 2]


def test_a_batch_is_topped_up_with_what_has_come_since() -> None:
    ready = ready_with(delivery(1), delivery(2), batch_size=3)
    with ExitStack() as hands:
        hand = take(ready, hands)
        for tag in (3, 4):
            ready.put(CONNECTION, delivery(tag))
        ready.top_up(hand)
        assert tags(hand) == [1, 2, 3]


def test_deliveries_of_two_connections_are_never_in_one_batch() -> None:
    ready = ready_with(delivery(1))
    ready.put(Source(settle), delivery(1))
    with ExitStack() as hands:
        assert tags(take(ready, hands)) == [1]


def test_what_is_forgotten_is_not_taken_and_the_end_lets_everybody_go() -> None:
    ready = ready_with(delivery(1))
    ready.forget()
    taken: list[Hand | None] = []

    def wait() -> None:
        with ready.take() as hand:
            taken.append(hand)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    ready.end()
    for thread in threads:
        thread.join(10)
    assert taken == [None] * 3
