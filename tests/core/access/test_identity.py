"""Who a command is recorded as: the account that runs it, whatever the shell's variables claim."""

from __future__ import annotations

import os
import pwd

import pytest

from opsbook.core.access.identity import host_identity

ACCOUNT = pwd.getpwuid(os.getuid()).pw_name


def test_a_shells_variables_do_not_name_the_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "somebody-else")
    assert host_identity().name.startswith(f"{ACCOUNT}@")


def test_an_account_without_a_name_is_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 987_654_321)
    assert host_identity().name.startswith("987654321@")


@pytest.mark.parametrize(("uid", "via_sudo"), [(0, True), (987_654_321, False)])
def test_who_used_sudo_is_named_and_only_root_can_have(
    monkeypatch: pytest.MonkeyPatch, uid: int, via_sudo: bool
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setenv("SUDO_USER", "alice")
    name = host_identity().name
    assert (name.startswith("alice@") and name.endswith(" via sudo")) == via_sudo
