"""Unleash's feature state is read as its own clients read it: every vector of their specification."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from opsbook.core.errors import Invalid
from opsbook.flags.evaluation import CompiledFlag, compile_flag, evaluate
from opsbook.flags.interchange.unleash import read_unleash

SPECIFICATIONS = Path(__file__).parents[3] / "node_modules/@unleash/client-specification/specifications"
VECTORS = 279
"""In version 6.1.0, so that none gets lost on the way to the test."""


def vectors(kind: str) -> Iterator[Any]:
    for file in sorted(SPECIFICATIONS.glob("[0-9]*.json")):
        specification = json.loads(file.read_text())
        for vector in specification.get(kind) or ():
            yield pytest.param(specification["state"], vector, id=f"{file.stem}: {vector['description']}")


def read(state: Mapping[str, Any]) -> dict[str, CompiledFlag]:
    bundle = read_unleash(json.dumps(state).encode())
    segments = {segment.name: segment for segment in bundle.segments}
    return {flag.name: compile_flag(flag, segments) for flag in bundle.flags}


def context_of(vector: Mapping[str, Any]) -> dict[str, Any]:
    context = dict(vector["context"])
    return context | (context.pop("properties", None) or {})


def test_no_vector_is_missing() -> None:
    assert len([*vectors("tests"), *vectors("variantTests")]) == VECTORS


@pytest.mark.parametrize(("state", "vector"), [*vectors("tests")])
def test_on_for_whom_unleash_says(state: Mapping[str, Any], vector: Mapping[str, Any]) -> None:
    flags = read(state)
    flag = flags.get(vector["toggleName"])
    found = flag is not None and evaluate(flag, context_of(vector), flags).enabled
    assert found is vector["expectedResult"]


@pytest.mark.parametrize(("state", "vector"), [*vectors("variantTests")])
def test_the_variant_that_unleash_says(state: Mapping[str, Any], vector: Mapping[str, Any]) -> None:
    flags, expected = read(state), vector["expectedResult"]
    flag = flags.get(vector["toggleName"])
    found = evaluate(flag, context_of(vector), flags) if flag else None
    on = found is not None and found.enabled
    # Unleash calls the variant of a flag without variants "disabled"; ours is "on".
    variant = found.variant if found is not None and on and found.variant != "on" else "disabled"
    assert (on, variant) == (expected["feature_enabled"], expected["name"])


def feature(**fields: Any) -> bytes:
    return json.dumps({"features": [{"name": "f", "enabled": True, **fields}]}).encode()


def test_a_strategy_of_ones_own_is_left_behind_and_lets_nobody_in() -> None:
    bundle = read_unleash(feature(strategies=[{"name": "byMoon", "parameters": {"phase": "full"}}]))
    assert bundle.left_behind[0].flag == "f"
    assert "byMoon" in bundle.left_behind[0].what
    assert evaluate(compile_flag(bundle.flags[0]), {"targetingKey": "u"}, {}).enabled is False


@pytest.mark.parametrize(
    ("payloads", "value_type", "values"),
    [
        ([("number", "5"), ("number", "0.5")], "number", [5, 0.5]),
        ([("json", '{"a": 1}')], "object", [{"a": 1}]),
        ([("csv", "a,b"), ("string", "5")], "string", ["a,b", "5"]),
        ([("number", "5"), ("string", "x")], "string", ["5", "x"]),
        ([("number", "five"), ("number", "5")], "string", ["five", "5"]),
    ],
)
def test_payloads_give_the_flag_its_type(
    payloads: list[tuple[str, str]], value_type: str, values: list[object]
) -> None:
    variants = [
        {"name": f"v{place}", "weight": 1, "payload": {"type": kind, "value": value}}
        for place, (kind, value) in enumerate(payloads)
    ]
    (flag,) = read_unleash(feature(variants=variants)).flags
    assert (flag.value_type, [variant.value for variant in flag.variants]) == (value_type, values)


@pytest.mark.parametrize("text", [b"", b"[]", b'{"features": 5}', b'{"features": [{"enabled": true}]}', b"\xff"])
def test_what_is_no_feature_state_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid, match="not Unleash's feature state"):
        read_unleash(text)
