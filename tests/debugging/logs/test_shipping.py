"""What a process logs arrives in the ops database: with its ids, scrubbed, bounded, whatever it holds."""

from __future__ import annotations

import logging

import psycopg

from opsbook.core.log import get_logger
from tests.debugging.logs.writing import arrived


def test_an_event_arrives_with_its_fields(logger: logging.Logger, database: psycopg.Connection) -> None:
    get_logger(logger.name).warning("payment_refused", amount=12.5, user_id="u1", why={"code": 7})
    (line,) = arrived(database, logger.name)
    assert (line["level"], line["message"], line["user_id"]) == ("warning", "payment_refused", "u1")
    assert line["fields"] == {"amount": 12.5, "why": {"code": 7}}


def test_so_does_a_line_of_the_standard_library(logger: logging.Logger, database: psycopg.Connection) -> None:
    try:
        raise ConnectionError("no route")
    except ConnectionError:
        logger.exception("could not reach %s", "the bank", extra={"request_id": "request-17", "attempt": 3})
    (line,) = arrived(database, logger.name)
    assert (line["level"], line["message"], line["request_id"]) == ("error", "could not reach the bank", "request-17")
    assert line["fields"] == {"attempt": 3}
    assert line["exception"].endswith("ConnectionError: no route")
