"""The account that Postgres runs as: ourselves, or, as Postgres refuses to be root, an unprivileged one."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from opsbook.core.errors import Unavailable

PREFERRED_ACCOUNTS = ("postgres", "opsbook", "nobody")
"""Whom root becomes, in this order: the account made for it, ours, the one every system has."""


class ProcessIdentity(TypedDict, total=False):
    """The keywords of `subprocess.Popen` that make a child somebody else."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine, with its primary group."""

    name: str
    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        return self.uid == os.geteuid()

    def identity(self) -> ProcessIdentity:
        """What to pass to `subprocess` to run as this account; nothing where we already are it."""
        return {} if self.is_ours else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def may(self, test: str, path: Path) -> bool:
        """Whether a shell run as this account finds `test -r`, `-w` or `-x` of a path true."""
        command = ["/bin/sh", "-c", f'test -{test} "$1"', "sh", str(path)]
        return subprocess.run(command, cwd="/", check=False, **self.identity()).returncode == 0

    def own(self, path: Path) -> None:
        """Hand a path over to this account."""
        if not self.is_ours:
            os.chown(path, self.uid, self.gid)


def account_for(data: Path) -> Account:
    """Who runs the cluster of a data folder: its owner where it exists, else whom we choose.

    Raises:
        Unavailable: The folder belongs to someone we cannot become, or root finds no other account.
    """
    owner = data.stat().st_uid if data.exists() else os.geteuid()
    if owner == os.geteuid() and owner != 0:
        return _account(owner)
    if os.geteuid() != 0:
        raise Unavailable(
            f"{data} belongs to {_account(owner).name}, not to {_account(os.geteuid()).name}:"
            " start as the owner of the home, or choose another with --home"
        )
    return _account(owner) if owner != 0 else _unprivileged()


def _account(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        # A container may run as a number that no passwd file knows.
        return Account(str(uid), uid, os.getegid() if uid == os.geteuid() else uid)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _unprivileged() -> Account:
    for name in PREFERRED_ACCOUNTS:
        try:
            return _account(pwd.getpwnam(name).pw_uid)
        except KeyError:
            continue
    raise Unavailable(
        "Postgres refuses to run as root, and this machine has none of the accounts"
        f" {', '.join(PREFERRED_ACCOUNTS)}: add one with `useradd --system opsbook`, or start as an ordinary user"
    )
