"""A service behind the blocks, and waiting for what it obeys."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from opsbook.performance import AddressBlocks
from tests.flags.helpers import until

OBEYS_WITHIN_SECONDS = 5.0
"""The promise is 0.25 s, which a machine that runs other tests does not always keep."""


@pytest.fixture
def blocks(ops_url: str, database: psycopg.Connection) -> Iterator[AddressBlocks]:
    """A process's view of the module's blocks, of which there are none."""
    database.execute("delete from address_blocks")
    view = AddressBlocks(ops_url)
    view.start()
    until(lambda: view.networks.revision == newest_revision(database), OBEYS_WITHIN_SECONDS)
    yield view
    view.close()


def newest_revision(database: psycopg.Connection) -> int:
    row = database.execute("select revision from revisions where topic = 'blocks'").fetchone()
    assert row is not None
    return row[0]


def obeys(view: AddressBlocks, address: str, *, refused: bool = True) -> float:
    """Wait until an address is refused, or no more; gives the seconds that took."""
    return until(lambda: view.refuses([address]) is refused, OBEYS_WITHIN_SECONDS)
