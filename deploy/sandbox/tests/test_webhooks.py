"""Webhooks: registration, signature, order, retries, duplicates, and what control does to them."""

import hashlib
import threading
from itertools import pairwise
from typing import Any

import pytest


def test_registration_can_be_read_changed_and_removed(merchant: Any) -> None:
    body = {"title": "W", "callback": "http://127.0.0.1:9/x", "events": ["purchase.paid"]}
    created = merchant.call("POST", "/webhooks/", body).json()
    path = f"/webhooks/{created['id']}/"
    assert created["events"] == ["purchase.paid"]
    assert merchant.get(path) == created
    assert created in merchant.get("/webhooks/")["results"]
    changed = merchant.call("PATCH", path, {"all_events": True}).json()
    assert (changed["all_events"], changed["events"]) == (True, [])
    assert changed["public_key"] == created["public_key"]
    assert merchant.call("PUT", path, {"title": "V"}).status_code == 400
    assert merchant.call("DELETE", path).status_code == 204
    assert merchant.call("GET", path).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"callback": "http://a.b/", "all_events": True}, "title"),
        ({"title": "W", "callback": "ftp://a.b/", "all_events": True}, "callback"),
        ({"title": "W", "callback": "http://a.b/"}, "events"),
        ({"title": "W", "callback": "http://a.b/", "events": ["purchase.refunded"]}, "events"),
    ],
)
def test_a_wrong_registration_is_refused(merchant: Any, body: dict[str, Any], field: str) -> None:
    answer = merchant.call("POST", "/webhooks/", body)
    assert answer.status_code == 400
    assert list(answer.json()) == [field]


def test_the_signature_verifies_over_the_raw_body_with_the_webhooks_own_key(
    merchant: Any, receiver: Any
) -> None:
    created = merchant.purchase()
    received = receiver.wait_for(created["id"], "purchase.created")[0]
    assert received.verifies_with(receiver.webhook["public_key"])
    assert not received.verifies_with(merchant.get("/public_key/"))
    assert received.json == {"event_type": "purchase.created", **created}


def test_a_success_callback_is_signed_with_the_company_key(
    merchant: Any, open_receiver: Any
) -> None:
    shop = open_receiver()
    created = merchant.purchase(success_callback=shop.url)
    merchant.pay(created)
    received = shop.wait_for(created["id"], "purchase.paid")[0]
    assert received.verifies_with(merchant.get("/public_key/"))
    assert shop.events(created["id"]) == ["purchase.paid"]


def test_a_webhook_gets_only_the_events_it_named(merchant: Any, open_receiver: Any) -> None:
    shop = open_receiver()
    body = {"title": "W", "callback": shop.url, "events": ["purchase.paid"]}
    webhook = merchant.call("POST", "/webhooks/", body).json()
    created = merchant.purchase()
    merchant.pay(created, cvc="321")
    merchant.pay(created)
    shop.wait_for(created["id"], "purchase.paid")
    assert shop.events(created["id"]) == ["purchase.paid"]
    merchant.call("DELETE", f"/webhooks/{webhook['id']}/")


def test_later_events_of_an_object_wait_for_the_earlier_ones(merchant: Any, receiver: Any) -> None:
    receiver.answers["purchase.created"] = [500, 503, 500]
    created = merchant.purchase()
    merchant.pay(created)
    receiver.wait_for(created["id"], "purchase.paid")
    assert receiver.events(created["id"]) == ["purchase.created"] * 4 + ["purchase.paid"]
    bodies = {one.body for one in receiver.of(created["id"], "purchase.created")}
    assert len(bodies) == 1


def test_another_object_does_not_wait(merchant: Any, receiver: Any) -> None:
    merchant.control("/clock", {"scale": 1})
    receiver.answers["purchase.created"] = [500]
    held_up, other = merchant.purchase(), None
    receiver.wait_for(held_up["id"], "purchase.created")
    other = merchant.purchase()
    merchant.pay(other)
    receiver.wait_for(other["id"], "purchase.paid")
    merchant.pay(held_up)
    assert "purchase.paid" not in receiver.events(held_up["id"])
    merchant.control("/webhooks/hurry")
    receiver.wait_for(held_up["id"], "purchase.paid")


def test_a_delivery_is_tried_nine_times_and_then_given_up(
    merchant: Any, receiver: Any, wait_until: Any
) -> None:
    merchant.control("/clock", {"scale": 100_000})
    receiver.answers["purchase.created"] = [500] * 20
    created = merchant.purchase()
    query = f"/deliveries?object_id={created['id']}&state=given_up"
    wait_until(lambda: merchant.look(query)["results"], what="the delivery to be given up")
    assert len(receiver.of(created["id"], "purchase.created")) == 9
    times = [one.at for one in receiver.of(created["id"])]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[-1] > gaps[-2] > gaps[-3]


def test_any_other_answer_than_2xx_is_a_failure(merchant: Any, receiver: Any) -> None:
    receiver.answers["purchase.created"] = [302, 404, 204]
    created = merchant.purchase()
    merchant.pay(created)
    receiver.wait_for(created["id"], "purchase.paid")
    assert receiver.events(created["id"]).count("purchase.created") == 3


def test_the_merchant_can_see_the_deliveries_of_an_object(
    merchant: Any, receiver: Any, wait_until: Any
) -> None:
    receiver.answers["purchase.created"] = [500]
    created = merchant.purchase()
    path = f"/webhooks/deliveries/?id={created['id']}&source_type=purchase"

    def delivered() -> dict[str, Any] | None:
        found = merchant.get(path)["results"]
        return found[0] if found and found[0]["delivered_on"] else None

    shown = wait_until(delivered, what="the delivery to be shown as delivered")
    assert shown["attempts"] == 2
    assert [bool(one["error_message"]) for one in shown["delivery_attempts"]] == [True, False]
    assert shown["delivered_on"].endswith("Z")
    assert shown["event"] == "purchase.created"
    assert shown["payload"]["id"] == created["id"]
    assert merchant.call("GET", "/webhooks/deliveries/?id=1").status_code == 400


def test_redelivery_is_byte_equal_signature_included(merchant: Any, receiver: Any) -> None:
    created = merchant.purchase()
    merchant.pay(created)
    first = receiver.wait_for(created["id"], "purchase.paid")[0]
    merchant.control("/redeliver", {"object_id": created["id"], "times": 2})
    received = receiver.wait_for(created["id"], "purchase.paid", count=3)
    assert {one.body for one in received} == {first.body}
    assert {one.signature for one in received} == {first.signature}


@pytest.mark.parametrize("signature", ["invalid", "missing", "foreign"])
def test_forged_signatures_do_not_verify_and_are_tried_once(
    merchant: Any, receiver: Any, wait_until: Any, signature: str
) -> None:
    created = merchant.purchase()
    receiver.wait_for(created["id"], "purchase.created")
    receiver.answers["purchase.created"] = [401] * 5
    sent = merchant.control("/redeliver", {"object_id": created["id"], "signature": signature})
    query = f"/deliveries?object_id={created['id']}&state=given_up"
    wait_until(lambda: merchant.look(query)["results"], what="the forged delivery to end")
    forged = receiver.of(created["id"])[-1]
    assert len(sent["deliveries"]) == 1
    assert len(receiver.of(created["id"])) == 2
    assert (forged.signature is None) is (signature == "missing")
    assert not forged.verifies_with(receiver.webhook["public_key"])


def test_duplicates_come_when_ordered(merchant: Any, receiver: Any) -> None:
    merchant.control(
        "/next",
        {"operation": "webhook", "event": "purchase.paid", "outcome": {"duplicates": 2}},
    )
    created = merchant.purchase()
    merchant.pay(created)
    received = receiver.wait_for(created["id"], "purchase.paid", count=3)
    digests = {hashlib.sha256(one.body).hexdigest() for one in received}
    assert len(digests) == 1


def test_a_dropped_webhook_never_comes(merchant: Any, receiver: Any) -> None:
    merchant.control(
        "/next", {"operation": "webhook", "event": "purchase.paid", "outcome": {"drop": True}}
    )
    created = merchant.purchase()
    merchant.pay(created)
    merchant.control(f"/purchases/{created['id']}/settle")
    receiver.wait_for(created["id"], "purchase.settled")
    assert "purchase.paid" not in receiver.events(created["id"])


def test_held_webhooks_are_released_in_reversed_order(merchant: Any, receiver: Any) -> None:
    merchant.control("/webhooks/hold", {"on": True})
    created = merchant.purchase()
    merchant.pay(created, cvc="321")
    merchant.pay(created)
    assert receiver.events(created["id"]) == []
    assert merchant.control("/webhooks/release", {"order": "reversed"}) == {"released": 3}
    receiver.wait_for(created["id"], count=3)
    assert receiver.events(created["id"]) == [
        "purchase.paid",
        "purchase.payment_failure",
        "purchase.created",
    ]


def test_held_webhooks_are_released_in_any_order_by_id(merchant: Any, receiver: Any) -> None:
    merchant.control("/webhooks/hold", {"on": True})
    created = merchant.purchase()
    merchant.pay(created)
    held = merchant.look(f"/deliveries?object_id={created['id']}&state=held")["results"]
    merchant.control("/webhooks/release", {"order": [held[0]["id"]]})
    receiver.wait_for(created["id"], "purchase.paid")
    assert receiver.events(created["id"]) == ["purchase.paid"]


def test_a_stale_snapshot_can_be_sent(merchant: Any, receiver: Any) -> None:
    created = merchant.purchase()
    merchant.pay(created)
    receiver.wait_for(created["id"], "purchase.paid")
    stale = {"event": "purchase.viewed", "object_id": created["id"], "status": "created"}
    merchant.control("/webhooks/send", stale)
    received = receiver.wait_for(created["id"], "purchase.viewed")[0]
    assert received.json["status"] == "created"
    assert received.verifies_with(receiver.webhook["public_key"])


def test_settled_can_still_say_paid(merchant: Any, receiver: Any) -> None:
    created = merchant.purchase()
    merchant.pay(created)
    merchant.control(f"/purchases/{created['id']}/settle", {"stale": True})
    received = receiver.wait_for(created["id"], "purchase.settled")[0]
    assert received.json["status"] == "paid"


def test_an_authentic_webhook_about_anything_can_be_sent(merchant: Any, receiver: Any) -> None:
    body = {"id": "an-unknown-object", "type": "purchase", "status": "paid"}
    merchant.control("/webhooks/send", {"event": "purchase.paid", "body": body})
    received = receiver.wait_for("an-unknown-object")[0]
    assert received.verifies_with(receiver.webhook["public_key"])


def test_deliveries_to_a_removed_webhook_stop(merchant: Any, open_receiver: Any) -> None:
    shop = open_receiver()
    body = {"title": "W", "callback": shop.url, "all_events": True}
    webhook = merchant.call("POST", "/webhooks/", body).json()
    merchant.control("/clock", {"scale": 1})
    shop.answers["purchase.created"] = [500]
    created = merchant.purchase()
    shop.wait_for(created["id"], "purchase.created")
    merchant.call("DELETE", f"/webhooks/{webhook['id']}/")
    merchant.control("/webhooks/hurry")
    states = merchant.look(f"/deliveries?object_id={created['id']}")["results"]
    assert [one["state"] for one in states] == ["dropped"]


def test_fifty_purchases_at_once_each_keep_their_order(merchant: Any, receiver: Any) -> None:
    merchant.control("/next", {"operation": "webhook", "outcome": {"duplicates": 1}, "times": 20})
    receiver.answers["purchase.created"] = [500] * 10
    created = [merchant.purchase() for _ in range(50)]
    threads = [threading.Thread(target=merchant.pay, args=(one,)) for one in created]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in created:
        receiver.wait_for(one["id"], "purchase.paid")
        events = receiver.events(one["id"])
        assert events == sorted(events, key=["purchase.created", "purchase.paid"].index)
