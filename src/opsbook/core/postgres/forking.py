"""Keeps a fork from catching libpq in the middle of setting up its cryptography.

The first connection of a process has OpenSSL set itself up, under locks, in the thread that connects. A child forked
in that moment inherits the locks without the thread that would release them, and its own first connection waits
forever. OpenSSL promises a working child only where the parent is not within the library (openssl-threads(7)).
"""

from __future__ import annotations

import functools

from psycopg import pq


@functools.cache
def set_up_cryptography() -> None:
    """Before the first fork: wait for whichever thread sets OpenSSL up, or do it here. Later calls do nothing."""
    # A connection that leads nowhere: the secret of a password takes no server, but every part of OpenSSL that
    # signing in with SCRAM does.
    pq.PGconn.connect_start(b"host=/nonexistent").encrypt_password(b"-", b"-", b"scram-sha-256")
