"""What the tests of the logs share: a logger whose lines arrive, and waiting for them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.debugging.logs.writing import fresh_logger_name


@pytest.fixture
def logger(server: str) -> Iterator[logging.Logger]:
    """A logger of the served process, of a name that no other test uses."""
    logger = logging.getLogger(fresh_logger_name())
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.setLevel(logging.NOTSET)
