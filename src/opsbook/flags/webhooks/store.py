"""Webhooks in the ops database, and the deliveries that are due."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Final, Literal, get_args
from uuid import uuid4

import msgspec
from psycopg.rows import DictRow

from opsbook.core.access import Identity
from opsbook.core.audit import Connect, acting, record
from opsbook.core.errors import Invalid, NotFound
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.flags.webhooks.posting import Answer, check_address, new_secret, post

_QUERIES = load_queries("opsbook.flags.webhooks")
Topic = Literal["flags", "segments"]
TOPICS: Final[Sequence[Topic]] = get_args(Topic)
"""What a webhook may be told of."""

_AT_ONCE = 20
_OF_ONE_WEBHOOK = 2
"""So that a receiver which hangs holds up its own notices, not the others'."""
_POSTING = ThreadPoolExecutor(_AT_ONCE, "opsbook-webhook")
"""Threads apart from the event loop's own, with which the worker's other tasks look up their hosts."""
_PASS_SECONDS = 60.0
_TEST_SECONDS = 4.0
"""Below the five seconds for which a page of the console waits."""
_LEASE = timedelta(minutes=2)
"""Well above what an attempt may take; a worker that dies leaves its deliveries to be tried again after it."""
RETRIES: Final = tuple(timedelta(seconds=seconds) for seconds in (10, 60, 300, 1800, 7200, 18_000, 36_000, 50_400))
"""How long after each failed attempt the next one is; after the last the delivery is given up, a day later."""


async def list_webhooks(connection: Connection) -> Sequence[DictRow]:
    """Every webhook, without its secret."""
    return await (await connection.execute(_QUERIES["list"])).fetchall()


async def add_webhook(connection: Connection, url: str, topics: Sequence[str]) -> tuple[int, str]:
    """A new webhook; gives its number and the secret with which its notices are signed.

    Raises:
        Invalid: The address will not do, or there is no such topic.
    """
    check_address(url)
    if not topics or not set(topics) <= set(TOPICS):
        raise Invalid(f"a webhook is told of {' or '.join(TOPICS)} or both, not of {', '.join(topics) or 'nothing'}")
    secret = new_secret()
    parameters = {"url": url, "secret": secret, "topics": list(topics)}
    row = await (await connection.execute(_QUERIES["add"], parameters)).fetchone()
    assert row is not None
    return row["id"], secret


async def remove_webhook(connection: Connection, webhook: int) -> None:
    """Tell it nothing more.

    Raises:
        NotFound: There is none of that number.
    """
    await _one(connection, "remove", webhook)


async def attempts(connection: Connection, webhook: int, limit: int = 50) -> Sequence[DictRow]:
    """What came of a webhook's newest deliveries."""
    return await (await connection.execute(_QUERIES["attempts"], {"id": webhook, "limit": limit})).fetchall()


async def get_webhook(connection: Connection, webhook: int) -> DictRow:
    """One webhook, without its secret.

    Raises:
        NotFound: There is none of that number.
    """
    for row in await list_webhooks(connection):
        if row["id"] == webhook:
            return row
    raise _missing(webhook)


async def send_test(connect: Connect, identity: Identity, webhook: int, *, loopback: bool = False) -> Answer:
    """Post a notice of topic `test` now and wait for the answer; the audit keeps what came of it.

    Raises:
        NotFound: There is none of that number.
    """
    async with connect() as connection:
        row = await _one(connection, "address", webhook)
    message = f"opsbook_{webhook}_test_{uuid4().hex}"
    notice = msgspec.json.encode({"topic": "test", "webhook": webhook, "actor": identity.name})
    posting = partial(post, row["url"], row["secret"], message, notice, loopback=loopback, within_seconds=_TEST_SECONDS)
    # No connection is held meanwhile: whoever does not answer must not keep others from the pool.
    answer = await asyncio.get_running_loop().run_in_executor(_POSTING, posting)
    async with connect() as connection, acting(connection, identity) as acted:
        came_of_it = {"status": answer.status, "error": answer.error, "milliseconds": answer.milliseconds}
        await record(acted, "webhook.test", "webhook", str(webhook), after=came_of_it, success=answer.is_delivered)
    return answer


async def deliver_due(connection: Connection, *, loopback: bool = False) -> int:
    """Post what is due until nothing is, for a minute at most; gives how many arrived.

    One worker posts at a time; beside it this gives 0 at once. A notice arrives once or, where a worker
    dies in between, twice, with the same `webhook-id`; and not always in order: its `revision` says which
    is newer.
    """
    turn = await (await connection.execute(_QUERIES["try_turn"])).fetchone()
    assert turn is not None
    if not turn["is_ours"]:
        return 0
    try:
        return await _deliver_until(connection, time.monotonic() + _PASS_SECONDS, loopback=loopback)
    finally:
        await connection.execute(_QUERIES["end_turn"])


async def tidy(connection: Connection) -> None:
    """Forget deliveries that are long done with."""
    await connection.execute(_QUERIES["tidy"])


async def _deliver_until(connection: Connection, end: float, *, loopback: bool) -> int:
    await connection.execute(_QUERIES["queue"])
    limits = {"lease": _LEASE, "limit": _AT_ONCE, "each": _OF_ONE_WEBHOOK}
    arrived = 0
    while time.monotonic() < end and (
        claimed := await (await connection.execute(_QUERIES["claim"], limits)).fetchall()
    ):
        answers = (_deliver(connection, row, loopback=loopback) for row in claimed)
        # Each is waited for: one that could not be settled must not take the others' answers with it.
        for came_of_it in await asyncio.gather(*answers, return_exceptions=True):
            if isinstance(came_of_it, BaseException):
                raise came_of_it
            arrived += came_of_it
    return arrived


async def _deliver(connection: Connection, row: DictRow, *, loopback: bool) -> bool:
    message = f"opsbook_{row['webhook']}_{row['revision']}"
    posting = partial(post, row["url"], row["secret"], message, row["notice"].encode(), loopback=loopback)
    answer = await asyncio.get_running_loop().run_in_executor(_POSTING, posting)
    is_last = answer.is_delivered or row["attempts"] > len(RETRIES)
    await connection.execute(
        _QUERIES["settle"],
        {
            "webhook": row["webhook"],
            "revision": row["revision"],
            "attempt": row["attempts"],
            "milliseconds": answer.milliseconds,
            "status": answer.status,
            "error": answer.error,
            "delivered": answer.is_delivered,
            "retry_in": None if is_last else RETRIES[row["attempts"] - 1],
        },
    )
    return answer.is_delivered


async def _one(connection: Connection, query: str, webhook: int) -> DictRow:
    row = await (await connection.execute(_QUERIES[query], {"id": webhook})).fetchone()
    if row is None:
        raise _missing(webhook)
    return row


def _missing(webhook: int) -> NotFound:
    return NotFound(f"there is no webhook {webhook}; `opsbook flags webhook list` shows them")
