"""A process that logs what it is told to on its standard input, and says there at what level it logs.

Commands: `say LOGGER N` logs N numbered lines; `fork LOGGER` has a child do so with one line, and then end;
`level LOGGER` answers `LOGGER LEVEL` at each change from then on.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

from opsbook.core.log import get_logger, set_up_logging
from opsbook.core.settings import load_settings
from opsbook.debugging import shipping_logs


def main() -> None:
    settings = load_settings()
    set_up_logging(settings.log_level)
    with shipping_logs(settings):
        os.write(1, b"ready\n")
        for line in sys.stdin:
            obey(*line.split())


def obey(command: str, logger: str, count: str = "1") -> None:
    if command == "say":
        for number in range(int(count)):
            get_logger(logger).info("said", number=number)
    elif command == "fork":
        if os.fork() == 0:
            get_logger(logger).info("from_the_child", process=os.getpid())
            time.sleep(30)
            os._exit(0)
        get_logger(logger).info("from_the_parent", process=os.getpid())
    else:
        threading.Thread(target=tell_level, args=(logger,), daemon=True).start()


def tell_level(name: str) -> None:
    told = None
    while True:
        level = logging.getLevelName(logging.getLogger(name).getEffectiveLevel())
        if level != told:
            told = level
            os.write(1, f"{name} {level}\n".encode())
        time.sleep(0.01)


if __name__ == "__main__":
    main()
