"""Builds the tests' small shop as a team would, and uploads its source maps by the real sentry-cli."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = ROOT / "node_modules" / ".bin"
SITE = Path(__file__).parent / "site"
SECONDS = 60
_DEBUG_ID = re.compile(r"debugId=([0-9a-f-]{36})")


@dataclass(frozen=True)
class Build:
    """A minified script and its map, side by side in a folder."""

    script: Path

    @property
    def text(self) -> str:
        return self.script.read_text()

    @property
    def map(self) -> bytes:
        return self.script.with_suffix(".js.map").read_bytes()

    @property
    def debug_id(self) -> UUID:
        found = _DEBUG_ID.search(self.text)
        assert found
        return UUID(found[1])

    def position(self, pattern: str) -> tuple[int, int]:
        """Line and column of the pattern's group in the script, as a browser counts them: from 1, in UTF-16 units."""
        found = re.search(pattern, self.text)
        assert found
        before = self.text[: found.start(1)]
        return before.count("\n") + 1, len(before.rpartition("\n")[2].encode("utf-16-le")) // 2 + 1

    @property
    def failing(self) -> list[tuple[int, int]]:
        """Where the calls stand when `charge` is called without a currency: in `charge`, and in `convert`."""
        return [self.position(r"return (\w+)\(\w+\.total"), self.position("throw (new RangeError)")]


def build(folder: Path, entry: str = "app.ts", *options: str) -> Build:
    """The shop, or what uses it, bundled and minified."""
    script = folder / "app.min.js"
    always = ["--bundle", "--minify", "--sourcemap", "--charset=utf8", f"--outfile={script}"]
    run(PROGRAMS / "esbuild", SITE / entry, *always, *options, cwd=folder)
    return Build(script)


class SentryCli:
    """A published command line of Sentry's, pointed at us: sentry-cli, or the `sentry` that bundlers' plugins use."""

    def __init__(self, server: str, token: str, project: str = "default", program: str = "sentry-cli") -> None:
        self._program = PROGRAMS / program
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "SENTRY_URL": server,
            "SENTRY_AUTH_TOKEN": token,
            "SENTRY_ORG": "any",
            "SENTRY_PROJECT": project,
        }

    def __call__(self, *arguments: str | Path, cwd: Path = Path("/")) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, *arguments],
            env=self._environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def event_at(url: str, *positions: tuple[int, int], **attributes: Any) -> dict[str, Any]:
    """An event as a browser's SDK sends it, from frames at these places of a script, outermost first."""
    frames = [
        {"function": "?", "filename": url, "abs_path": url, "lineno": line, "colno": column, "in_app": True}
        for line, column in positions
    ]
    exception = {"type": "RangeError", "value": "no rate", "stacktrace": {"frames": frames}}
    return {"platform": "javascript", "exception": {"values": [exception]}, **attributes}


def frames_of(event: dict[str, Any]) -> list[Any]:
    return event["exception"]["values"][0]["stacktrace"]["frames"]


def resolved_by_node(source_map: Path, positions: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """What Node's own reader of source maps makes of positions that count from 0."""
    program = """
        const { SourceMap } = require("node:module");
        const [file, positions] = process.argv.slice(1);
        const map = new SourceMap(JSON.parse(require("node:fs").readFileSync(file, "utf8")));
        console.log(JSON.stringify(JSON.parse(positions).map(([line, column]) => map.findEntry(line, column))));
    """
    node = os.environ.get("NODE", "node")
    return json.loads(run(node, "-e", program, str(source_map), json.dumps(positions), cwd=source_map.parent))
