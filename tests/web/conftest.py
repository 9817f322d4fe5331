"""People of each role, signed in at the module's server."""

from __future__ import annotations

import pytest

from opsbook.core.access.links import create_sign_in_link
from tests.web.person import Person, invitation_in


@pytest.fixture(scope="module")
def owner(server: str, ops_url: str) -> Person:
    """The first person, an admin by the link that `opsbook up` prints."""
    return Person(server).join(create_sign_in_link(ops_url), "owner@example.org")


@pytest.fixture(scope="module")
def operator(server: str, owner: Person) -> Person:
    """Somebody who may pull levers."""
    link = invitation_in(owner.submit("/ops/access/invitations", role="operator"))
    return Person(server).join(link, "operator@example.org")


@pytest.fixture(scope="module")
def viewer(server: str, owner: Person) -> Person:
    """Somebody who may only look."""
    link = invitation_in(owner.submit("/ops/access/invitations", role="viewer"))
    return Person(server).join(link, "viewer@example.org")
