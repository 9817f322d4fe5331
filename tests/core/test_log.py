"""Logs: what must never stand in them."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest

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


SERVED = """
import logging
import uvicorn
from opsbook.core.log import describe_process, set_up_logging

uvicorn.Config("none:app")  # which sets logging up, as its command does before it loads the app
set_up_logging("INFO")
describe_process("shop@7", lambda value: value)
logging.getLogger("uvicorn.error").error("the server's own line")
"""


def test_the_lines_of_the_server_are_like_all_others() -> None:
    done = subprocess.run([sys.executable, "-c", SERVED], capture_output=True, text=True, check=True, timeout=30)
    (line,) = (json.loads(each) for each in done.stderr.splitlines())
    assert (line["event"], line["logger"], line["release"]) == ("the server's own line", "uvicorn.error", "shop@7")


SECRET = """
import logging
from opsbook.core.log import describe_process, get_logger, set_up_logging
from opsbook.debugging.scrubbing import Scrubber

set_up_logging("INFO")
describe_process(None, Scrubber().scrub)
try:
    raise ConnectionError("postgresql://shop:hunter2@db/shop refused")
except ConnectionError:
    get_logger("service").exception("could_not_connect", password="hunter2")
logging.getLogger("service").error("%d tries", "password=hunter2")
get_logger("service").error("still_written", password="hunter2", odd=type("Rude", (), {"__repr__": lambda _: 1 / 0})())
"""


@pytest.mark.parametrize("on_a_terminal", [True, False])
def test_secrets_stand_neither_on_a_terminal_nor_in_a_file(on_a_terminal: bool) -> None:
    terminal, standard_error = pty.openpty() if on_a_terminal else os.pipe()
    try:
        subprocess.run([sys.executable, "-c", SECRET], stderr=standard_error, check=True, timeout=30)
        shown = os.read(terminal, 65536).decode()
    finally:
        os.close(terminal)
        os.close(standard_error)
    assert "could_not_connect" in shown
    assert "refused" in shown
    assert "TypeError" in shown
    assert "still_written" in shown
    assert "hunter2" not in shown


OWN = """
import logging
from opsbook.core.log import describe_process, get_logger
from opsbook.debugging.scrubbing import Scrubber

logging.basicConfig(level="INFO", format="%(name)s: %(message)s given %(opsbook_event)s")
describe_process("shop@7", Scrubber().scrub)
get_logger("opsbook.link").info("connected", password="hunter2", to="redis://:hunter2@cache")
"""


def test_our_lines_hold_no_secret_either_where_a_service_formats_its_own_logs() -> None:
    done = subprocess.run([sys.executable, "-c", OWN], capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr.startswith("opsbook.link: event='connected' release='shop@7'")
    assert "cache" in done.stderr
    assert "hunter2" not in done.stderr


HOSTILE = """
import logging
from opsbook.core.log import get_logger, set_up_logging

hostile = "a\\x1b]0;title\\x07b\\nforged\\x9b2J"
set_up_logging("INFO")
get_logger("service").info(hostile, path=hostile, given=[hostile], **{hostile: 1})
logging.getLogger("shop").info("asked for %s", hostile)
try:
    raise ValueError(hostile)
except ValueError:
    get_logger("service").exception("failed", exception=hostile)
"""


def test_what_a_stranger_wrote_acts_on_no_terminal() -> None:
    terminal, standard_error = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", HOSTILE], stderr=standard_error, check=True, timeout=30)
        shown = os.read(terminal, 65536).decode()
    finally:
        os.close(terminal)
        os.close(standard_error)
    colours = re.compile(r"\x1b\[[0-9;]*m")
    plain = colours.sub("", shown).replace("\r\n", "\n").replace("\n", " ")
    assert plain.count("\\x1b]0;title\\x07b") >= 5
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", plain)
