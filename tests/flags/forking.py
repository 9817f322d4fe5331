"""A service that made its flags when it was imported, used them, and then forked or spawned.

Every process prints `name on` or `name off` whenever its answer changes. Its user has written no fork hook.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time

from opsbook import Flags

flags = Flags.from_env()


def tell(name: str) -> None:
    """Print each new answer until killed, as the test does with the whole process group."""
    told = None
    while True:
        answer = flags.enabled("forked")
        if answer is not told:
            os.write(1, f"{name} {'on' if answer else 'off'}\n".encode())
            told = answer
        time.sleep(0.005)


def fork(*names: str) -> None:
    """A child, and its own child, and so on."""
    if names and os.fork() == 0:
        fork(*names[1:])
        tell(names[0])


def main(how: str) -> None:
    assert flags.wait_until_ready(10)
    if how == "os.fork":
        fork("child", "grandchild")
    elif how == "short-lived":
        for leave in (os._exit, sys.exit):
            if os.fork() == 0:
                flags.enabled("forked")
                leave(0)
            os.wait()
    elif how == "threads":
        for name in ("thread", "another"):
            threading.Thread(target=tell, args=(name,), daemon=True).start()
    else:
        multiprocessing.set_start_method(how)
        multiprocessing.Process(target=tell, args=("child",), daemon=True).start()
    threading.Thread(target=tell, args=("parent",), daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
