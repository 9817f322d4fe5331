"""Two ops databases at once: read both, change one, leave a record in each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg

from opsbook.core.access.identity import Identity
from opsbook.core.audit import acting, record
from opsbook.core.errors import Invalid
from opsbook.core.postgres.connect import Connection, connect
from opsbook.core.queries import load_queries
from opsbook.flags import segment_store
from opsbook.flags import store as flags
from opsbook.flags.approval.store import ask as ask_for
from opsbook.flags.promotion.plan import Environment, Step

_QUERIES = load_queries("opsbook.flags.promotion")
_FLAG_QUERIES = load_queries("opsbook.flags")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two environments, with a connection to each."""

    here: Connection
    there: Connection
    source: Environment
    target: Environment


@asynccontextmanager
async def pair(here_url: str, there_url: str) -> AsyncIterator[Pair]:
    """Both environments as they are.

    Raises:
        Invalid: They are one and the same, or one of them is no ops database of this version.
        Unavailable: One of them does not answer.
    """
    async with connect(here_url, "opsbook cli") as here, connect(there_url, "opsbook cli") as there:
        source, one = await _environment(here)
        target, other = await _environment(there)
        if one == other:
            raise Invalid(f"{source.place} is this environment itself")
        yield Pair(here, there, source, target)


async def promote(
    both: Pair, identity: Identity, steps: Sequence[Step], reason: str | None, *, ask: bool = False
) -> Mapping[str, int]:
    """Take the steps in the target that need no second person, in one transaction; both environments keep a record.

    With `ask`, a second person is asked there for the flags that do; gives these requests by flag.

    Raises:
        Conflict: Somebody changed one of the flags or segments in between.
    """
    steps = [step for step in steps if not step.needs_approval or (ask and step.kind == "flag")]
    because = f"promoted from {both.source.place}" + (f": {reason}" if reason else "")
    async with acting(both.here, identity, reason) as here:
        for step in steps:
            after = {"to": both.target.place, "fields": dict(step.fields), "asked": step.needs_approval}
            await record(here, f"flag.promote_{step.kind}", step.kind, step.name, after=after)
        # The target's transaction ends first: without it there is nothing to record here.
        async with acting(both.there, identity, because) as there:
            await there.execute(_FLAG_QUERIES["take_turn"])
            requests = [await _take(there, step, because) for step in steps]
    return {step.name: request for step, request in zip(steps, requests, strict=True) if request is not None}


async def _take(connection: Connection, step: Step, because: str) -> int | None:
    """Take a step, or ask for it; gives the request's number."""
    if step.needs_approval:
        assert step.held_revision is not None, "only what is there asks for a second person"
        return await ask_for(connection, step.name, step.fields, step.held_revision, because)
    await (_put_flag(connection, step) if step.kind == "flag" else _put_segment(connection, step))
    return None


async def _put_flag(connection: Connection, step: Step) -> None:
    if step.held_revision is None:
        await flags.create_flag(connection, step.name, step.fields)
    else:
        await flags.change_flag(connection, step.name, step.fields, expected_revision=step.held_revision)


async def _put_segment(connection: Connection, step: Step) -> None:
    await segment_store.put_segment(
        connection,
        step.name,
        step.fields["constraints"],
        step.fields["description"],
        expected_revision=segment_store.NOT_THERE if step.held_revision is None else step.held_revision,
    )


async def _environment(connection: Connection) -> tuple[Environment, str]:
    info = connection.info
    place = f"{info.host or 'localhost'}:{info.port}/{info.dbname}"
    try:
        row = await (await connection.execute(_QUERIES["environment"])).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise Invalid(f"{place} is no ops database; `opsbook serve` makes one of it") from error
    assert row is not None
    return Environment(place, row["flags"], row["segments"]), row["identity"]
