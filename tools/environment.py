"""Makes `.venv` from a lock file: run by any Python >= 3.11, with nothing installed.

`environment.py runtime` installs what the program needs, `environment.py dev` what its
tests and checks need too. A stamp file in `.venv` tells make that the work is done.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCKS = {"runtime": "requirements.lock", "dev": "requirements-dev.lock"}
OLDEST_PYTHON = (3, 11)


def main(kind: str) -> None:
    """Bring `.venv` to the state of the lock file of that kind."""
    require_python()
    if not usable(VENV):
        require_ensurepip()
        print(f"making .venv with Python {sys.version.split()[0]}", flush=True)
        shutil.rmtree(VENV, ignore_errors=True)
        run(sys.executable, "-m", "venv", str(VENV))
    print(f"installing {LOCKS[kind]}", flush=True)
    install("--require-hashes", "--only-binary", ":all:", "--requirement", LOCKS[kind])
    install("--no-build-isolation", "--editable", ".")
    for done in ("runtime", kind):  # the development lock holds all of the runtime's
        (VENV / f"{done}.stamp").touch()


def require_python() -> None:
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        found = sys.version.split()[0]
        fail(
            f"Python {wanted} or newer is needed, {sys.executable} is {found}:"
            " name another, as in `make up PYTHON=python3.12`"
        )


def usable(venv: Path) -> bool:
    """Whether the environment's own Python runs here and has pip; false when the folder was moved or half made."""
    python = venv / "bin" / "python"
    if not python.exists():
        return False
    seen = subprocess.run(
        [python, "-c", "import pip, sys; print(sys.prefix)"], capture_output=True, text=True, check=False
    )
    return seen.returncode == 0 and Path(seen.stdout.strip()) == venv and scripts_point_here(venv)


def scripts_point_here(venv: Path) -> bool:
    """Whether the environment's commands start its own Python: they hold its path as it was when they were made."""
    pip = venv / "bin" / "pip"
    return pip.exists() and str(venv) in pip.read_text(encoding="utf-8", errors="replace")[:400]


def require_ensurepip() -> None:
    """Debian keeps the part of Python that makes environments in a package of its own."""
    if importlib.util.find_spec("ensurepip") is not None:
        return
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        fail(f"this Python cannot make virtual environments: install its package, `sudo apt-get install {package}`")
    print(f"installing {package}", flush=True)
    apt_install(package)
    importlib.invalidate_caches()
    if importlib.util.find_spec("ensurepip") is None:
        fail(f"{package} was installed, yet {sys.executable} still cannot make virtual environments")


def apt_install(package: str) -> None:
    """Install a Debian package; needs root."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends", package]
    if subprocess.run(command, env=quiet, check=False).returncode != 0:  # the lists may be missing or old
        run("apt-get", "update", "--quiet=2", environment=quiet)
        run(*command, environment=quiet)


def install(*arguments: str) -> None:
    run(
        str(VENV / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        *arguments,
    )


def run(*command: str, environment: dict[str, str] | None = None) -> None:
    """Run a command in the project's folder; its failure ends ours, its output says why."""
    code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if code != 0:
        fail(f"`{' '.join(command)}` failed with exit code {code}")


def fail(message: str) -> NoReturn:
    raise SystemExit(f"error: {message}")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in LOCKS:
        raise SystemExit(f"usage: environment.py {'|'.join(LOCKS)}")
    main(sys.argv[1])
