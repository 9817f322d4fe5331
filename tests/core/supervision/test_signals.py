"""A request to stop is never lost, wherever in the start it arrives."""

from __future__ import annotations

import os
import signal

import pytest

from opsbook.core.supervision.signals import Signals


class Finalized:
    """One whose finalizer a stop interrupts."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_request_that_a_finalizer_swallows_still_interrupts() -> None:
    with Signals() as signals:
        signals.interrupt()
        Finalized()
        assert signals.stop_requests == 1
        with pytest.raises(KeyboardInterrupt):
            signals.interrupt()
