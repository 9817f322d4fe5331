"""Splitting SQL files, compared with what the server makes of the same text."""

from __future__ import annotations

import pytest

from opsbook.database.statements import split_statements


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("", []),
        (" ; ;\n", []),
        ("select 1", ["select 1"]),
        ("select 1; select 2;\n", ["select 1", "select 2"]),
        ("select ';', '''', E'\\';';select 2", ["select ';', '''', E'\\';'", "select 2"]),
        ('create table "a;b" (x int); select 1', ['create table "a;b" (x int)', "select 1"]),
        ("-- one; two\nselect 1;", ["-- one; two\nselect 1"]),
        ("/* a /* b; */ ; */ select 1; select 2", ["/* a /* b; */ ; */ select 1", "select 2"]),
        ("/* never closed; select 1", ["/* never closed; select 1"]),
        ("do $$ begin perform 1; end $$; select 1", ["do $$ begin perform 1; end $$", "select 1"]),
        ("do $a$ select $$;$$; $a$; select $1", ["do $a$ select $$;$$; $a$", "select $1"]),
        ("begin; select 1; end; select 2", ["begin", "select 1", "end", "select 2"]),
        (
            "create function f() returns int begin atomic select case when true then 1 end; end; select 2",
            ["create function f() returns int begin atomic select case when true then 1 end; end", "select 2"],
        ),
        ("select 1; -- the end", ["select 1", "-- the end"]),
    ],
)
def test_split(text: str, statements: list[str]) -> None:
    assert split_statements(text) == statements
