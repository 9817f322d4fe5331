"""What can keep an embedded cluster from running, each with what to do about it."""

from __future__ import annotations

from opsbook.core.errors import Unavailable


class HomeUnusable(Unavailable):
    """The home folder cannot be made, entered, written or understood."""

    title = "The home folder cannot be used"


class AlreadyRunning(Unavailable):
    """Another process holds this home."""

    title = "Already running"


class DiskFull(Unavailable):
    """The disk, or this account's share of it, is full."""

    title = "No space left"


class OtherMajorVersion(Unavailable):
    """The cluster was made by another major version of Postgres, which cannot read it."""

    title = "Another major version of Postgres"


class ClusterFailed(Unavailable):
    """Postgres ended or kept silent instead of becoming ready."""

    title = "Postgres did not start"
