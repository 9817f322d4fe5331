"""A process that forks while its first connection is being made."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

_PROGRAM = """
import os, signal, sys, threading
from opsbook.core.postgres import connect
import psycopg

def sign_in():
    psycopg.connect(sys.argv[1]).execute("select 1")

# OpenSSL reads its configuration while it sets itself up: from a pipe, that takes as long as we like.
os.environ["OPENSSL_CONF"] = sys.argv[2]
threading.Thread(target=sign_in, daemon=True).start()
sys.stdin.readline()
if child := os.fork():
    status = os.waitpid(child, 0)[1]
    sys.exit(os.waitstatus_to_exitcode(status))
signal.alarm(10)
sign_in()
os._exit(0)
"""


def test_a_child_forked_while_the_parent_first_connects_can_connect(ops_url: str, tmp_path: Path) -> None:
    pipe = tmp_path / "openssl.cnf"
    os.mkfifo(pipe)
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, ops_url, str(pipe)], stdin=subprocess.PIPE, text=True)
    assert process.stdin is not None
    # Opening the pipe for writing waits for its reader: from here on the thread is in the middle of setting up.
    with pipe.open("w") as configuration:
        process.stdin.write("\n")
        process.stdin.flush()
        threading.Event().wait(0.5)
        configuration.write("")
    process.stdin.close()
    assert process.wait(30) == 0
