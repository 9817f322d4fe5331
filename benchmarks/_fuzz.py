"""Bodies that a fuzzer makes, guided by which lines they reach: no reader may raise anything but a refusal.

Those that reached something new are then sent to a server, which may answer none of them with an error of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import httpx
import psycopg

from benchmarks._servers import control_plane, ops_database
from benchmarks.errors_ingest import envelope, event_of

SECONDS = 300
LONGEST_BYTES = 20_000
LARGEST_MIB = 1_024
ENCODINGS = ("", "gzip", "deflate", "br", "zstd")
SEEDS = {
    "user_report": {"event_id": "a" * 32, "name": "Ada", "email": "ada@example.org", "comments": "It broke."},
    "feedback": {"contexts": {"feedback": {"message": "It broke.", "associated_event_id": "a" * 32}}},
    "check_in": {
        "monitor_slug": "nightly",
        "status": "ok",
        "monitor_config": {"schedule": {"type": "crontab", "value": "0 3 * * *"}, "timezone": "Europe/Berlin"},
    },
    "client_report": {"discarded_events": [{"category": "error", "reason": "queue_overflow", "quantity": 7}]},
    "event": {
        "message": {"formatted": "user 7 not found"},
        "fingerprint": ["{{ default }}", "x"],
        "tags": [["plan", "pro"]],
        "timestamp": 1772366400.5,
        "request": {"url": "/x", "headers": [["Cookie", "a=b"]], "data": "password=secret"},
        "threads": {"values": [{"id": 1, "crashed": True, "stacktrace": {"frames": [{"function": "f"}]}}]},
    },
}


def main() -> int:
    """Fuzz, and tell what was found; 1 if anything was."""
    if find_spec("atheris") is None:
        print("atheris is not to be had for this Python here: nothing was fuzzed")
        return 0
    with tempfile.TemporaryDirectory(prefix="opsbook-fuzz-") as name:
        corpus = Path(name) / "corpus"
        corpus.mkdir()
        sow(corpus)
        refused = fuzz(corpus)
        answers = replay(corpus)
    print(f"{answers.total():,} bodies sent to a server: {dict(sorted(answers.items()))}")
    failed = refused or any(status >= 500 for status in answers)
    print("something was found, see above" if failed else "nothing but refusals")
    return int(failed)


def sow(corpus: Path) -> None:
    """Honest envelopes to begin with."""
    corpus.joinpath("event").write_bytes(b"\xff" + envelope(event_of(1), 1))
    for kind, payload in SEEDS.items():
        lines = [{"event_id": "a" * 32, "sent_at": "2026-03-01T12:00:00Z"}, {"type": kind}, payload]
        corpus.joinpath(kind).write_bytes(b"\xff" + "\n".join(map(json.dumps, lines)).encode())


def fuzz(corpus: Path) -> bool:
    """Whether something was raised that is no refusal; the fuzzer prints it, with the body."""
    words = corpus.parent / "words"
    words.write_text("\n".join(f'"{word}"' for word in sorted(_words(SEEDS))), encoding="utf-8")
    options = (f"-max_total_time={SECONDS}", f"-max_len={LONGEST_BYTES}", f"-rss_limit_mb={LARGEST_MIB}", "-timeout=10")
    command = [sys.executable, "-m", "benchmarks._fuzz_target", str(corpus), f"-dict={words}", *options]
    run = subprocess.run([*command, f"-artifact_prefix={corpus.parent}/"], stderr=subprocess.PIPE, check=False)
    lines = run.stderr.decode(errors="replace").splitlines()
    print("\n".join(lines[-40:] if run.returncode else lines[-2:]), flush=True)
    return run.returncode != 0


def _words(value: object) -> set[str]:
    """The names of fields and items: what a fuzzer would need very long to think of."""
    if isinstance(value, dict):
        return {str(key) for key in value} | {word for each in value.values() for word in _words(each)}
    return {word for each in value for word in _words(each)} if isinstance(value, list) else set()


def replay(corpus: Path) -> Counter[int]:
    """How a server answers what the fuzzer found worth keeping, by status."""
    with (
        ops_database() as (url, folder),
        control_plane(url, folder) as client,
        psycopg.connect(url, autocommit=True) as database,
    ):
        row = database.execute("select public_key from error_project_keys").fetchone()
        assert row is not None
        return Counter(answer(client, row[0], made.read_bytes()) for made in corpus.iterdir())


def answer(client: httpx.Client, key: str, made: bytes) -> int:
    encoding = ENCODINGS[made[0]] if made and made[0] < len(ENCODINGS) else ""
    headers = {"Content-Encoding": encoding} if encoding else {}
    status = client.post(f"/api/1/envelope/?sentry_key={key}", content=made[1:], headers=headers).status_code
    if status >= 500:
        print(f"{status} for {encoding or 'plain'} {made[1:]!r}")
    return status
