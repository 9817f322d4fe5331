"""The kit by itself: whatever it is asked, it answers; whatever listens, it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook import Flags
from opsbook.core.errors import NotConfigured
from opsbook.flags.model import Flag
from opsbook.flags.snapshot import Snapshot
from opsbook.flags.sources.http import HttpSource
from opsbook.flags.sources.postgres import PostgresSource
from tests.flags.sources import Scripted

STATE = Snapshot.of(
    3,
    [
        Flag(name="on", enabled=True, revision=1),
        Flag(name="partial", enabled=True, rollout_percentage=50, revision=2),
        Flag(name="killed", enabled=True, kill_switch=True, revision=3),
    ],
)


class Hostile:
    """Raises at whatever one may do to it."""

    def _refuse(self, *_: object, **__: object) -> Any:
        raise ZeroDivisionError

    __str__ = __repr__ = __bool__ = __hash__ = __eq__ = __len__ = __iter__ = __getitem__ = __format__ = _refuse
    get = _refuse


HOSTILE: list[Any] = [
    None,
    0,
    -1,
    10**5000,
    1.5,
    float("nan"),
    True,
    b"bytes",
    bytearray(b"u1"),
    ["list"],
    {"a": {}},
    {1, 2},
    object(),
    Hostile(),
    dict,
    "",
    "\0",
    "\ud800",
    "🚀",
    "x" * 1_000_000,
    "a/b",
    lambda: 1,
]


@pytest.fixture
def kit() -> Flags:
    made = Flags(Scripted())
    made.receive(STATE)
    return made


@pytest.mark.parametrize("name", HOSTILE, ids=lambda value: type(value).__name__)
def test_no_name_makes_it_raise(kit: Flags, name: Any) -> None:
    assert kit.enabled(name) is False
    assert kit.enabled(name, user_id="u1") is False
    assert kit.evaluate(name).value is False


@pytest.mark.parametrize("key", HOSTILE, ids=lambda value: type(value).__name__)
def test_no_key_makes_it_raise(kit: Flags, key: Any) -> None:
    assert kit.enabled("on", user_id=key) in (True, False)
    assert kit.enabled("partial", user_id=key) in (True, False)
    assert kit.enabled("killed", user_id=key) is False
    assert kit.evaluate("partial", {"targetingKey": key}).value in (True, False)


@pytest.mark.parametrize("context", HOSTILE, ids=lambda value: type(value).__name__)
def test_no_context_makes_it_raise(kit: Flags, context: Any) -> None:
    assert kit.evaluate("partial", context).value is False
    assert kit.evaluate("no-such-flag", context).error_code in {"FLAG_NOT_FOUND", "INVALID_CONTEXT"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from(["on", "partial", "killed", "missing"]),
    st.dictionaries(st.text(), json_values, max_size=3),
    json_values,
)
def test_no_json_makes_it_raise(name: str, context: Mapping[str, Any], key: Any) -> None:
    kit = Flags(Scripted())
    kit.receive(STATE)
    assert isinstance(kit.evaluate(name, {**context, "targetingKey": key}).value, bool)


def test_a_key_is_the_same_as_text_and_as_number(kit: Flags) -> None:
    for number in range(100):
        assert kit.enabled("partial", number) is kit.enabled("partial", str(number))


def test_the_default_is_for_flags_that_do_not_exist(kit: Flags) -> None:
    assert kit.enabled("missing") is False
    assert kit.enabled("missing", default=True) is True
    assert kit.enabled("killed", default=True) is False
    assert kit.evaluate("missing").error_code == "FLAG_NOT_FOUND"


def test_a_source_that_cannot_start_is_no_reason_to_raise() -> None:
    kit = Flags(Scripted(broken=True))
    kit.receive(STATE)
    assert kit.enabled("killed") is False
    assert kit.enabled("missing", default=True) is True


def test_a_listener_that_raises_silences_no_other_and_stops_nothing(kit: Flags, tmp_path: Path) -> None:
    heard: list[Snapshot] = []
    kit.listen(lambda _: 1 / 0)  # pyright: ignore[reportArgumentType]
    unlisten = kit.listen(heard.append)
    kit.receive(newer := STATE.changed(4, {"on": None}))
    assert heard == [newer]
    assert not kit.enabled("on")
    unlisten()
    kit.receive(STATE)
    assert heard == [newer]


def test_what_is_closed_serves_on(kit: Flags) -> None:
    kit.close()
    assert kit.enabled("on")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An empty one, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPSBOOK_URL", "OPSBOOK_TOKEN", "OPSBOOK_DATABASE_URL", "OPSBOOK_HOME"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_environment_must_name_a_source(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotConfigured, match="OPSBOOK_DATABASE_URL"):
        Flags.from_env()
    environment.setenv("OPSBOOK_URL", "http://127.0.0.1:1")
    with pytest.raises(NotConfigured):
        Flags.from_env()


def test_a_server_and_a_token_go_before_a_database(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OPSBOOK_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert isinstance(source_of(Flags.from_env()), PostgresSource)
    environment.setenv("OPSBOOK_URL", "http://127.0.0.1:1")
    environment.setenv("OPSBOOK_TOKEN", "secret-of-the-kit")
    kit = Flags.from_env()
    assert isinstance(source_of(kit), HttpSource)
    assert "secret-of-the-kit" not in repr(vars(kit)) + repr(source_of(kit))


def source_of(kit: Flags) -> object:
    return kit._source
