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


def test_a_line_that_the_database_refuses_costs_only_itself(
    logger: logging.Logger, database: psycopg.Connection
) -> None:
    for number in range(5):
        record = logger.makeRecord(logger.name, logging.INFO, "shop.py", 1, f"line {number}", (), None)
        if number == 2:
            record.created = 1e18  # a time that no date can tell
        logger.handle(record)
    lines = arrived(database, logger.name, 4)
    assert [line["message"] for line in lines] == ["line 0", "line 1", "line 3", "line 4"]


def test_a_process_that_was_silent_until_it_was_forgotten_is_known_again(
    logger: logging.Logger, database: psycopg.Connection
) -> None:
    logger.info("before")
    (line,) = arrived(database, logger.name)
    database.execute("delete from log_writers where id = %s", [line["writer"]])
    logger.info("after")
    after = arrived(database, logger.name, 2)[1]
    assert (after["writer"], after["process_id"]) == (line["writer"], line["process_id"])
