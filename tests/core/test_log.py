"""Logs: what must never stand in them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

PROGRAM = """
from opsbook.core.log import get_logger, set_up_logging

def connect(password):
    raise ConnectionError("refused")

set_up_logging("INFO")
try:
    connect("hunter2-of-the-database")
except ConnectionError:
    get_logger("service").exception("could_not_connect")
"""


def test_a_traceback_on_a_terminal_shows_no_local_variables() -> None:
    terminal, standard_error = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", PROGRAM], stderr=standard_error, check=True, timeout=30)
        shown = os.read(terminal, 65536).decode()
    finally:
        os.close(terminal)
        os.close(standard_error)
    assert "ConnectionError" in shown
    assert "hunter2" not in shown
