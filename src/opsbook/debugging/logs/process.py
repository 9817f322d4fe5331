"""What a process does for its logs while it runs: sends its lines to the ops database, and obeys set levels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from opsbook.core.bus import Bus
from opsbook.core.log import describe_process
from opsbook.core.settings import Settings
from opsbook.debugging.logs.levels import LogLevels
from opsbook.debugging.logs.sender import Sender
from opsbook.debugging.logs.shipper import LogShipper
from opsbook.debugging.scrubbing import Scrubber


class ProcessLogs:
    """Made before the bus starts. From then on lines are scrubbed wherever we write them."""

    def __init__(self, settings: Settings, bus: Bus) -> None:
        scrubber = Scrubber()
        describe_process(settings.release, scrubber.scrub)
        sender = Sender(settings.require_url("ops"), settings.environment, settings.release, scrubber)
        self._shipper = LogShipper(sender, scrubber)
        self._levels = LogLevels(bus)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send what is logged within, by whichever logger that passes its records up to the root."""
        root = logging.getLogger()
        self._shipper.start()
        root.addHandler(self._shipper)
        try:
            yield
        finally:
            self._levels.close()
            root.removeHandler(self._shipper)
            self._shipper.stop()


@contextmanager
def shipping_logs(settings: Settings) -> Iterator[None]:
    """For a process without a server, such as the worker: logs and levels on a bus of their own.

    Raises:
        NotConfigured: No ops database is known.
    """
    bus = Bus(settings.require_url("ops"), "opsbook logs bus")
    logs = ProcessLogs(settings, bus)
    bus.start()
    try:
        with logs.running():
            yield
    finally:
        bus.stop()
