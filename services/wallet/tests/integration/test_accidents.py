"""Backends, wires, processes and the server itself end at every moment; money moves once."""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Final, Protocol

import psycopg2
import pytest

from octoco.database.engine import CommitOutcomeUnknown
from octoco.database.migrate import migrate
from octoco.database.provision import provision_schema
from octoco.testing import eventually
from octoco.testing.own_postgres import OwnPostgres, own_postgres
from octoco.testing.wire import COMMIT, Fate, Wire, nothing_happens
from wallet.bootstrap import Wallet
from wallet.entrypoints.cli import MIGRATIONS

from .books_compared import assert_sound
from .driving import Driver
from .fresh_wallets import FreshWallets
from .other_process import Call, OtherProcess
from .scenes import SCENES, Payment, Scene, act_until_answered

Watch = Callable[[bytes], Fate]
MESSAGES_MAX: Final = 100
# Backends that accidents may happen to; other test sessions use the same server.
WIRED: Final = f"wired-{secrets.token_hex(6)}"


class Place:
    """Does something at the nth statement that goes over the wire, once."""

    def __init__(self, number: int, accident: Watch) -> None:
        self._left = number
        self._accident = accident
        self.was_reached = False

    def __call__(self, sent: bytes) -> Fate:
        if sent.startswith(b"Q"):
            self._left -= 1
            if self._left == 0:
                self.was_reached = True
                return self._accident(sent)
        return Fate.ARRIVES


class AtCommit(Place):
    """Does something at the first COMMIT."""

    def __init__(self, accident: Watch) -> None:
        super().__init__(1, accident)

    def __call__(self, sent: bytes) -> Fate:
        return super().__call__(sent) if sent == COMMIT else Fate.ARRIVES


def backends_end(admin_url: str) -> Watch:
    """End every backend that was reached through a wire, as a failing server would."""

    def end(_sent: bytes) -> Fate:
        with closing(psycopg2.connect(admin_url)) as admin, admin.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE application_name = %s",
                (WIRED,),
            )
        return Fate.ARRIVES

    return end


@contextmanager
def wired(wallets: FreshWallets, wallet: Wallet) -> Iterator[tuple[Wire, Driver]]:
    """Open a wallet a second time, through a wire that accidents may happen on."""
    with Wire.to(wallet.settings.database_url) as wire:
        through = wallets.opened(wire.url_through(wallet.settings.database_url), name=WIRED)
        through.database.check()
        try:
            yield wire, Driver(through)
        finally:
            through.database.dispose()


@pytest.mark.parametrize("accident", ["backends end", "never arrives", "answer is lost"])
@pytest.mark.parametrize("name", list(SCENES))
def test_whatever_breaks_at_whichever_statement_it_happens_once(
    fresh_wallets: FreshWallets, postgres_admin_url: str, name: str, accident: str
) -> None:
    with fresh_wallets.one() as wallet, wired(fresh_wallets, wallet) as (wire, shaky):
        happens: Watch = backends_end(postgres_admin_url)
        if accident != "backends end":
            fate = Fate(accident)
            happens = lambda _sent: fate  # noqa: E731
        driver = Driver(wallet)
        reached = 0
        for number in range(1, MESSAGES_MAX):
            scene: Scene = SCENES[name](driver)
            wire.watch = place = Place(number, happens)
            act_until_answered(scene, shaky)
            wire.watch = nothing_happens
            scene.assert_happened_once(driver)
            if not place.was_reached:
                break
            reached += 1
        # At the least: begin, the kernel, commit; or the kernel alone.
        assert (1 if name == "a posting alone" else 3) <= reached < MESSAGES_MAX - 1
        assert_sound(wallet)


@pytest.mark.parametrize("name", [name for name in SCENES if name != "a posting alone"])
def test_an_answer_to_commit_that_is_lost_is_said_to_be_unknown_and_found_out_by_asking_again(
    fresh_wallets: FreshWallets, name: str
) -> None:
    with fresh_wallets.one() as wallet, wired(fresh_wallets, wallet) as (wire, shaky):
        driver = Driver(wallet)
        scene: Scene = SCENES[name](driver)
        wire.watch = AtCommit(lambda _sent: Fate.ANSWER_IS_LOST)
        assert act_until_answered(scene, shaky) > 1
        assert wire.answer_lost.is_set()
        scene.assert_happened_once(driver)
        assert_sound(wallet)


class Moment(Protocol):
    """Kills a process around its COMMIT."""

    def __call__(self, wire: Wire, process: OtherProcess) -> None: ...


def just_before(wire: Wire, process: OtherProcess) -> None:
    def kill(_sent: bytes) -> Fate:
        process.kill()
        return Fate.NEVER_ARRIVES

    _at_commit(wire, process, kill)


def during(wire: Wire, process: OtherProcess) -> None:
    def kill(_sent: bytes) -> Fate:
        # The server hears COMMIT and the end of its client at about the same time.
        threading.Thread(target=process.kill).start()
        return Fate.ARRIVES

    _at_commit(wire, process, kill)


def just_after(wire: Wire, process: OtherProcess) -> None:
    _at_commit(wire, process, lambda _sent: Fate.ANSWER_IS_LOST)
    assert wire.answer_lost.wait(10)
    process.kill()


def _at_commit(wire: Wire, process: OtherProcess, accident: Watch) -> None:
    process.wait_until_ready()
    wire.watch = place = AtCommit(accident)
    process.go()
    eventually(lambda: place.was_reached, what="the COMMIT")


@pytest.mark.parametrize("moment", [just_before, during, just_after])
def test_a_process_killed_around_its_commit_leaves_all_or_nothing(
    fresh_wallets: FreshWallets, moment: Moment
) -> None:
    with fresh_wallets.one() as wallet, wired(fresh_wallets, wallet) as (wire, shaky):
        driver = Driver(wallet)
        payment = Payment(driver)
        call = Call(
            "pay",
            (payment.deposit.id, payment.deposit.money),
            {"purchase_id": payment.purchase_id, "fee": "5.00"},
        )
        with OtherProcess(shaky.wallet.settings, [call]) as process:
            moment(wire, process)
        _assert_all_or_nothing(payment, driver, known={just_before: 0, just_after: 1}.get(moment))
        act_until_answered(payment, driver)
        payment.assert_happened_once(driver)
        assert_sound(wallet)


def _assert_all_or_nothing(payment: Payment, driver: Driver, *, known: int | None) -> None:
    """Check that the credit, its fee and both messages are all there, or none is."""

    def effects() -> list[int] | None:
        queries = {
            "SELECT count(*) FROM transfers WHERE subject = :it": payment.purchase_id,
            "SELECT count(*) FROM outbox WHERE event_type LIKE '%completed%' "
            "AND aggregate_id = :it": payment.deposit.id,
            "SELECT count(*) FROM transactions WHERE status = 'completed' "
            "AND id = :it": payment.deposit.id,
        }
        found = [driver.scalar(query, it=it) for query, it in queries.items()]
        return found if found in ([0, 0, 0], [2, 1, 1]) else None

    found = eventually(effects, what="all or nothing")
    if known is not None:
        assert found[1] == known


@pytest.fixture(scope="module")
def own_server(postgres_admin_url: str) -> Iterator[OwnPostgres]:
    with own_postgres(postgres_admin_url) as server:
        # Every commit dawdles before its WAL is written out: long enough to be hit.
        server.start(commit_delay="100000", commit_siblings="0")
        password = "test-only"
        provision_schema(
            server.admin_url,
            database="books",
            schema="wallet",
            owner_password=password,
            service_password=password,
        )
        url = server.admin_url.replace("postgres@", f"wallet_owner:{password}@")
        migrate(url=url.removesuffix("postgres") + "books", migrations=MIGRATIONS)
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["just before", "during", "just after"])
def test_a_server_that_crashes_in_mid_commit_has_all_or_nothing_when_it_is_back(
    fresh_wallets: FreshWallets, own_server: OwnPostgres, moment: str
) -> None:
    url = own_server.admin_url.replace("postgres@", "wallet:test-only@")
    wallet = fresh_wallets.opened(url.removesuffix("postgres") + "books")
    driver = Driver(wallet)
    with wired(fresh_wallets, wallet) as (wire, shaky):
        payment = Payment(driver)
        crash = threading.Thread(target=_crash_during_commit, args=(own_server,))

        def happens(_sent: bytes) -> Fate:
            if moment == "just before":
                own_server.stop_at_once()
            elif moment == "during":
                crash.start()
            else:
                return Fate.ANSWER_IS_LOST
            return Fate.ARRIVES

        wire.watch = AtCommit(happens)
        with pytest.raises(CommitOutcomeUnknown):
            payment.act(shaky)
        if moment == "just after":
            own_server.stop_at_once()
        eventually(lambda: not own_server.is_running, what="the end of the server")
        wire.watch = nothing_happens
        own_server.start(commit_delay="100000", commit_siblings="0")
        known = {"just before": 0, "just after": 1}.get(moment)
        _assert_all_or_nothing(payment, driver, known=known)
        act_until_answered(payment, shaky)
        payment.assert_happened_once(driver)
        assert_sound(wallet)
    wallet.database.dispose()


def _crash_during_commit(server: OwnPostgres) -> None:
    with closing(psycopg2.connect(server.admin_url)) as admin, admin.cursor() as cursor:
        admin.set_session(autocommit=True)

        def is_committing() -> bool:
            cursor.execute(
                "SELECT FROM pg_stat_activity "
                "WHERE usename = 'wallet' AND query = 'COMMIT' AND state = 'active'"
            )
            return cursor.rowcount == 1

        eventually(is_committing, what="a COMMIT under way")
        server.stop_at_once()
