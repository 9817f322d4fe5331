"""A service behind the blocks, and waiting for what it obeys."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from opsbook.performance import AddressBlocks
from tests.flags.helpers import until

OBEYS_WITHIN_SECONDS = 5.0
"""The promise is 0.25 s, which a machine that runs other tests does not always keep."""


@pytest.fixture(scope="module")
def view(ops_url: str) -> Iterator[AddressBlocks]:
    """A process's view of the module's blocks."""
    following = AddressBlocks(ops_url)
    following.start()
    yield following
    following.close()


@pytest.fixture
def blocks(view: AddressBlocks, database: psycopg.Connection) -> AddressBlocks:
    """The same, once it knows that there are none."""
    # Seen to come and to go: whatever an earlier test did has then been seen, too.
    database.execute("insert into address_blocks (network) values ('192.0.2.254/32') on conflict do nothing")
    obeys(view, "192.0.2.254")
    database.execute("delete from address_blocks")
    obeys(view, "192.0.2.254", refused=False)
    view.report_hits()
    return view


def newest_revision(database: psycopg.Connection) -> int:
    row = database.execute("select revision from revisions where topic = 'blocks'").fetchone()
    assert row is not None
    return row[0]


def obeys(view: AddressBlocks, address: str, *, refused: bool = True) -> float:
    """Wait until an address is refused, or no more; gives the seconds that took."""
    return until(lambda: view.refuses([address]) is refused, OBEYS_WITHIN_SECONDS)
