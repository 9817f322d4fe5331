"""Change notices: each change is posted, signed and with a record of every attempt; never to a private address."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from opsbook.core.postgres.connect import connect
from opsbook.core.settings import load_settings
from opsbook.flags.webhooks import store
from opsbook.flags.webhooks.posting import post, signature
from tests.command_line import Typed, opsbook
from tests.flags.helpers import create
from tests.flags.receiver import Receiver
from tests.working import run_tasks


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


class Hooked:
    """A database of its own, the command, and the worker's deliveries."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.database = psycopg.connect(url, autocommit=True)

    def type(self, *arguments: str) -> Typed:
        return opsbook("flags", "webhook", *arguments, OPSBOOK_DATABASE_URL=self.url)

    def add(self, url: str, *options: str) -> tuple[str, str]:
        made = self.type("add", url, "--json", *options).json
        return str(made["id"]), made["secret"]

    def deliver(self, *, loopback: bool = True) -> int:
        async def delivering() -> int:
            async with connect(self.url, "test worker") as connection:
                return await store.deliver_due(connection, loopback=loopback)

        return asyncio.run(delivering())

    def time_passes(self) -> None:
        self.database.execute("update webhook_deliveries set next_at = now() where next_at is not null")


@pytest.fixture
def hooked(new_ops_database: Callable[[], str]) -> Iterator[Hooked]:
    made = Hooked(new_ops_database())
    yield made
    made.database.close()


def test_each_change_is_told_once_and_signed(hooked: Hooked, receiver: Receiver) -> None:
    _, secret = hooked.add(receiver.url)
    create(hooked.database, "told")
    hooked.database.execute("update feature_flags set kill_switch = true where name = 'told'")
    assert hooked.deliver() == 2
    assert hooked.deliver() == 0
    told = sorted((json.loads(body) for _, body in receiver.got), key=lambda each: each["revision"])
    assert [(each["topic"], each["action"], each["name"]) for each in told] == [
        ("flags", "create", "told"),
        ("flags", "change", "told"),
    ]
    assert (told[1]["before"]["kill_switch"], told[1]["after"]["kill_switch"]) == (False, True)
    for headers, body in receiver.got:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the published specification's libraries."""
    made = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_failure_is_tried_again_and_stands_on_record(hooked: Hooked, receiver: Receiver) -> None:
    number, _ = hooked.add(receiver.url)
    receiver.status = 500
    create(hooked.database, "retried")
    assert hooked.deliver() == 0
    assert hooked.deliver() == 0, "not before its time"
    assert len(receiver.got) == 1
    receiver.status = 200
    hooked.time_passes()
    assert hooked.deliver() == 1
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    attempts = hooked.type("attempts", number, "--json").json
    assert [(each["attempt"], each["status"]) for each in attempts] == [(2, 200), (1, 500)]
    assert hooked.type("list", "--json").json[0]["delivered"] == 1


def test_it_is_given_up_at_last(hooked: Hooked) -> None:
    number, _ = hooked.add("http://127.0.0.1:1/nobody")
    create(hooked.database, "unheard")
    for _ in range(len(store.RETRIES) + 2):
        hooked.deliver()
        hooked.time_passes()
    attempts = hooked.type("attempts", number, "--json").json
    assert len(attempts) == len(store.RETRIES) + 1
    assert "refused" in attempts[0]["error"]
    assert hooked.type("list", "--json").json[0]["given_up"] == 1


def test_a_redirect_is_no_delivery_and_not_followed(hooked: Hooked, receiver: Receiver) -> None:
    number, _ = hooked.add(receiver.url)
    receiver.status = 307
    create(hooked.database, "redirected")
    assert hooked.deliver() == 0
    assert [each["status"] for each in hooked.type("attempts", number, "--json").json] == [307]


def test_two_workers_never_post_the_same(hooked: Hooked, receiver: Receiver) -> None:
    hooked.add(receiver.url)
    for number in range(10):
        create(hooked.database, f"one-of-{number}")

    async def both() -> None:
        async with connect(hooked.url, "one") as one, connect(hooked.url, "other") as other:
            await asyncio.gather(*(store.deliver_due(each, loopback=True) for each in (one, other)))

    asyncio.run(both())
    assert len(receiver.got) == 10


def test_an_open_removal_holds_up_no_kill(hooked: Hooked, receiver: Receiver) -> None:
    hooked.add(receiver.url)
    create(hooked.database, "killed")
    with psycopg.connect(hooked.url) as remover:
        remover.execute("delete from webhooks")
        hooked.database.execute("set lock_timeout = '1s'")
        hooked.database.execute("update feature_flags set kill_switch = true where name = 'killed'")
        assert hooked.deliver() == 0, "nor is the worker held up"
        remover.rollback()
    assert hooked.deliver() == 2


def test_what_was_before_a_webhook_is_not_told(hooked: Hooked, receiver: Receiver) -> None:
    create(hooked.database, "earlier")
    hooked.add(receiver.url)
    assert hooked.deliver() == 0


def test_a_disabled_webhook_holds_up_no_other(hooked: Hooked, receiver: Receiver) -> None:
    hooked.add("http://127.0.0.1:1/nobody")
    for number in range(25):
        create(hooked.database, f"unheard-{number}")
    hooked.deliver()
    hooked.time_passes()
    hooked.database.execute("update webhooks set disabled_at = now()")
    hooked.add(receiver.url)
    create(hooked.database, "heard")
    assert hooked.deliver() == 1
    hooked.database.execute("update webhooks set disabled_at = null")
    hooked.deliver()
    assert hooked.type("list", "--json").json[0]["waiting"] == 26, "what changed meanwhile is told it then"


def test_a_webhook_may_be_removed_while_it_is_told(hooked: Hooked, receiver: Receiver) -> None:
    number, _ = hooked.add(receiver.url + "&removed")
    hooked.add(receiver.url)

    def remove() -> None:
        hooked.database.execute("delete from webhooks where id = %s", (number,))

    both = threading.Barrier(2, action=remove)
    receiver.meanwhile = lambda: both.wait(10)
    create(hooked.database, "told")
    hooked.deliver()
    assert len(receiver.got) == 2
    assert [each["delivered"] for each in hooked.type("list", "--json").json] == [1]


def test_all_that_is_due_is_told_by_one_worker(hooked: Hooked, receiver: Receiver) -> None:
    hooked.add(receiver.url)
    for number in range(25):
        create(hooked.database, f"one-of-{number}")
    of_another: list[int] = []
    receiver.meanwhile = lambda: None if of_another else of_another.append(hooked.deliver())
    assert hooked.deliver() == 25
    assert set(of_another) == {0}


def test_what_is_told_is_utf8(hooked: Hooked, receiver: Receiver) -> None:
    hooked.add(receiver.url)
    create(hooked.database, "after-it")
    hooked.database.execute("update feature_flags set description = 'naïve ✓' where name = 'after-it'")
    assert hooked.deliver() == 2
    assert "naïve ✓" in {json.loads(body)["after"]["description"] for _, body in receiver.got}


def test_an_answer_that_drips_is_waited_for_no_longer_than_any() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    for _ in range(100):
                        connection.sendall(b"H")
                        time.sleep(0.05)
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        started = time.monotonic()
        answer = post(
            f"http://127.0.0.1:{server.getsockname()[1]}/", "whsec_", "1", b"{}", loopback=True, within_seconds=0.5
        )
        assert time.monotonic() - started < 2
        assert (answer.status, answer.error) == (None, "no answer within 0.5 s")
        dripping.join()


@pytest.mark.parametrize("environment", ["development", "production"])
def test_loopback_is_posted_to_only_where_a_setting_says_so(
    hooked: Hooked, receiver: Receiver, environment: str
) -> None:
    hooked.add(receiver.url)
    create(hooked.database, "kept-in")
    run_tasks(load_settings(ops_database_url=hooked.url, environment=environment), "deliver_webhooks")
    assert receiver.got == []
    hooked.time_passes()
    settings = load_settings(ops_database_url=hooked.url, environment=environment, webhooks_to_loopback=True)
    run_tasks(settings, "deliver_webhooks")
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "[::1]", "[fe80::1]",
     "[fc00::1]", "[::ffff:10.0.0.1]", "[64:ff9b::a00:1]", "[::a00:1]", "[fec0::1]", "[2002:a00:1::]", "100.64.0.1",
     "224.0.0.1", "localhost", "2130706433", "0x7f.1"],
)  # fmt: skip
def test_no_private_address_is_posted_to(host: str) -> None:
    answer = post(f"http://{host}/", "whsec_", "1", b"{}", loopback=False)
    assert answer.status is None
    assert "not on the public internet" in (answer.error or "")


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "file:///etc/passwd", "example.com", "http://", "http://user:pass@example.com/",
     "http://example.com:99999/", "http://exa mple.com/", "http://example.com/\r\nX: y"],
)  # fmt: skip
def test_what_is_no_address_is_refused(hooked: Hooked, url: str) -> None:
    assert hooked.type("add", url).code == 2


def test_only_what_was_asked_for_is_told(hooked: Hooked, receiver: Receiver) -> None:
    number, _ = hooked.add(receiver.url, "--topic", "segments")
    create(hooked.database, "untold")
    hooked.database.execute("insert into flag_segments (name) values ('told')")
    hooked.deliver()
    assert [json.loads(body)["topic"] for _, body in receiver.got] == ["segments"]
    assert hooked.type("add", receiver.url, "--topic", "gossip").code == 2
    assert hooked.type("remove", number, "--yes").code == 0
    assert hooked.type("remove", number, "--yes").code == 3


def test_a_test_is_sent_at_once_and_is_no_delivery(hooked: Hooked, receiver: Receiver) -> None:
    number, _ = hooked.add(receiver.url)
    kept_in = hooked.type("test", number)
    assert (kept_in.code, "not on the public internet" in " ".join(kept_in.out.split())) == (1, True)
    sent = opsbook(
        *("flags", "webhook", "test", number, "--json"),
        OPSBOOK_DATABASE_URL=hooked.url,
        OPSBOOK_WEBHOOKS_TO_LOOPBACK="true",
    )
    assert (sent.code, sent.json["delivered"], sent.json["status"]) == (0, True, 204)
    ((headers, body),) = receiver.got
    assert json.loads(body)["topic"] == "test"
    assert "webhook-signature" in headers
    assert hooked.type("attempts", number, "--json").json == []
    assert hooked.type("test", "999").code == 3


def test_the_audit_has_no_secret(hooked: Hooked, receiver: Receiver) -> None:
    _, secret = hooked.add(receiver.url)
    create(hooked.database, "told")
    assert hooked.deliver() == 1
    rows = hooked.database.execute("select action, after::text from security_audit where target_kind = 'webhook'")
    ((action, after),) = rows.fetchall()
    assert action == "webhook.create"
    assert secret not in after
    assert secret not in hooked.type("list", "--json").out
