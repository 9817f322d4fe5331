"""What the real Python SDK sends, read by us."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sentry_sdk
from sentry_sdk import logger
from sentry_sdk.consts import EndpointType
from sentry_sdk.crons import capture_checkin
from sentry_sdk.crons.consts import MonitorStatus
from sentry_sdk.envelope import Envelope as SentEnvelope
from sentry_sdk.transport import Transport
from sentry_sdk.utils import Dsn

from opsbook.debugging.grouping import culprit, group, title
from opsbook.debugging.protocol.authentication import parse_dsn
from opsbook.debugging.protocol.document import read_document
from opsbook.debugging.protocol.envelope import Item, parse_envelope
from opsbook.debugging.protocol.event import Event, read_event
from opsbook.debugging.protocol.items import Treatment, kind_of, quantity, read_container
from opsbook.debugging.scrubbing import FILTERED, Scrubber
from tests.debugging.events import NOW


class Collected(Transport):
    """Keeps what would have been sent."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []

    def capture_envelope(self, envelope: SentEnvelope) -> None:
        self.bodies.append(envelope.serialize())

    def items(self) -> list[Item]:
        return [item for body in self.bodies for item in parse_envelope(body).items]


@pytest.fixture
def sent() -> Iterator[Collected]:
    """The SDK set up in a scope of its own, sending to a list."""
    collected = Collected()
    client = sentry_sdk.Client(
        dsn="http://0123456789abcdef@127.0.0.1:9/7",
        transport=collected,
        default_integrations=False,
        auto_enabling_integrations=False,
        environment="staging",
        release="shop@1.0",
        traces_sample_rate=1.0,
        enable_logs=True,
    )
    with sentry_sdk.isolation_scope() as scope:
        scope.set_client(client)
        yield collected
    client.close()


def read(item: Item) -> Event:
    return read_event(read_document(item.payload), received_at=NOW)


def raise_and_capture(order: int, password: str) -> None:
    try:
        raise LookupError(f"order {order} is gone")
    except LookupError as error:
        assert password
        sentry_sdk.capture_exception(error)


def test_an_exception(sent: Collected) -> None:
    sentry_sdk.set_user({"id": 42})
    sentry_sdk.set_tag("plan", "pro")
    raise_and_capture(1, "hunter2")
    raise_and_capture(2, "hunter2")
    envelopes = [parse_envelope(body) for body in sent.bodies]
    one, other = (read(envelope.items[0]) for envelope in envelopes)
    assert one.event_id.hex == envelopes[0].event_id
    assert envelopes[0].sent_at is not None
    assert (one.environment, one.release, one.user.key, one.tags) == ("staging", "shop@1.0", "42", {"plan": "pro"})
    assert title(one) == "LookupError: order 1 is gone"
    assert culprit(one).endswith(" in raise_and_capture")
    assert group(one).fingerprint == group(other).fingerprint
    assert one.sdk is not None and one.sdk.startswith("sentry.python/")


def test_what_the_sdk_left_in_is_scrubbed(sent: Collected) -> None:
    sentry_sdk.set_context("payment", {"note": "paid by 4111 1111 1111 1111", "api_key": "k-123456"})
    sentry_sdk.capture_message("token=abcdef123")
    document = read_document(sent.items()[0].payload)
    read_event(document, received_at=NOW, scrub=Scrubber().scrub_document)
    assert document.value["contexts"]["payment"] == {"note": f"paid by {FILTERED}", "api_key": FILTERED}
    assert document.value["message"] == f"token={FILTERED}"


def test_items_of_other_types(sent: Collected) -> None:
    with sentry_sdk.start_transaction(name="checkout"):
        pass
    capture_checkin(monitor_slug="nightly", status=MonitorStatus.OK)
    logger.warning("paid {amount}", amount=5)
    logger.info("done")
    sentry_sdk.get_client().flush()
    items = {item.type: item for item in sent.items()}
    assert {"transaction", "check_in", "log"} <= set(items)
    assert read_container(items["check_in"])[0]["monitor_slug"] == "nightly"
    assert quantity(items["log"]) == 2
    assert [entry["body"] for entry in read_container(items["log"])] == ["paid 5", "done"]
    assert kind_of(items["log"]).treatment is Treatment.STORE


def test_the_address_that_it_sends_to() -> None:
    dsn = "http://0123456789abcdef@127.0.0.1:9/prefix/7"
    sdk = Dsn(dsn)
    assert parse_dsn(dsn).url() == sdk.to_auth("x").get_api_url(EndpointType.ENVELOPE)
