"""People for the tests of access: an owner, and others whom the owner's console invites."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from opsbook.core.access.links import create_sign_in_link
from tests.web.person import Person, invitation_in


@pytest.fixture(scope="module")
def owner(server: str, ops_url: str) -> Person:
    """The first person, who came by the link that `opsbook up` prints."""
    return Person(server).join(create_sign_in_link(ops_url), "owner@example.org")


@pytest.fixture(scope="module")
def invite(owner: Person, server: str) -> Callable[[str, str], Person]:
    """Let a new person in with a role and an e-mail address."""

    def inviting(role: str, email: str) -> Person:
        shown = owner.submit("/ops/access/invitations", role=role)
        return Person(server).join(invitation_in(shown), email)

    return inviting
