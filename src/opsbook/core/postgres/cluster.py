"""The two embedded clusters of a home folder, made, started and stopped as one thing."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from opsbook.core.postgres.binaries import binaries_for
from opsbook.core.postgres.creation import Creation, Superuser, check_version
from opsbook.core.postgres.home import CLUSTER_NAMES, ClusterName, Home, HomeLock, explained
from opsbook.core.postgres.layout import lay_out
from opsbook.core.postgres.recovery import clear_leftovers
from opsbook.core.postgres.server import STOP_STEPS, Progress, Server
from opsbook.core.supervision.processes import stop


def silent(_message: str) -> None:
    """Say nothing."""


class EmbeddedPostgres:
    """Both clusters of a home, running between `start` and `stop`.

    ```python
    with EmbeddedPostgres(Path(".opsbook")) as postgres:
        psycopg.connect(postgres.urls["ops"])
    ```
    """

    def __init__(self, home: Path, progress: Progress = silent) -> None:
        self.home = Home(home.absolute())
        self.servers: tuple[Server, ...] = ()
        self.urls: dict[str, str] = {}
        self.lock = HomeLock(self.home)
        self._progress = progress

    def reserve(self) -> None:
        """Make the home and lock it for this process; `start` does so too.

        Raises:
            AlreadyRunning: Another process holds it.
            HomeUnusable: It cannot be made or written.
        """
        self.home.make()
        self.lock.acquire()

    def start(self) -> dict[str, str]:
        """Start both clusters, making first what does not exist yet; their addresses by name.

        Call it from a thread that lives as long as they shall: they stop when it ends.

        Raises:
            AlreadyRunning, HomeUnusable, DiskFull, OtherMajorVersion, ClusterFailed: As their names say.
        """
        self.reserve()
        try:
            self._prepare()
            for server in self.servers:
                server.start()
            for server in self.servers:
                server.wait_until_ready()
            self.urls = {server.name: server.publish() for server in self.servers}
        except BaseException:
            self.stop()
            raise
        return self.urls

    def stop(self) -> None:
        """Stop both clusters, within about 5 s, and release the home."""
        stop([server.process for server in self.servers if server.process], STOP_STEPS)
        for server in self.servers:
            clear_leftovers(server.data)
            server.process = None
        self.lock.release()

    def superuser_url(self, name: ClusterName) -> str:
        """The address of a started cluster's own database, as its superuser."""
        port = next(server.port for server in self.servers if server.name == name)
        return self.home.url(name, port, superuser=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _prepare(self) -> None:
        with explained(self.home.path):
            layout = lay_out(self.home)
        binaries = binaries_for(layout.account)
        self.servers = tuple(Server(name, self.home, layout, binaries, self._progress) for name in CLUSTER_NAMES)
        missing = [server for server in self.servers if not check_version(server.data, binaries)]
        if missing:
            self._progress(f"making the databases in {layout.clusters}")
        with ExitStack() as stack:
            superusers = [Superuser.of(self.home, server.name) for server in missing]
            creations = [
                stack.enter_context(Creation(server.data, layout.account, binaries, superuser))
                for server, superuser in zip(missing, superusers, strict=True)
            ]
            for creation in creations:
                creation.finish()
