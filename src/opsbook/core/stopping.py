"""Notices that the process was told to stop, while its server still waits for open answers to end.

ASGI servers end the lifespan only once every connection has closed, and a stream has no end
of its own: without this, one open console page would keep the process alive for ever.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def noticing_stop(stopping: asyncio.Event) -> Iterator[None]:
    """Set the event, in this event loop, on SIGTERM or SIGINT; whoever handled the signal so far still does.

    Only the main thread can handle signals: in any other one nothing is noticed.
    """
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                stack.callback(_handle_first(number, lambda: loop.call_soon_threadsafe(stopping.set)))
        yield


def _handle_first(number: signal.Signals, notice: Callable[[], object]) -> Callable[[], None]:
    before = signal.getsignal(number)
    if before is None or before is signal.SIG_IGN:
        return lambda: None

    def handle(received: int, frame: FrameType | None) -> None:
        notice()
        if callable(before):
            before(received, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def undo() -> None:
        if signal.getsignal(number) is handle:
            signal.signal(number, before)

    signal.signal(number, handle)
    return undo
