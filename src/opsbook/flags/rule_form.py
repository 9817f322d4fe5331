"""Reads the console's rule and segment forms, and writes a rule back into one; what will not do keeps its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from starlette.datastructures import FormData

from opsbook.core.errors import Invalid
from opsbook.flags.conditions import condition, join_values, require_whom
from opsbook.flags.form import read_share
from opsbook.flags.page_parts import texts
from opsbook.flags.targeting.model import Constraint, Rule


@dataclass(frozen=True, slots=True)
class ConditionRow:
    """One condition as it stands in a form."""

    field: str = ""
    negated: bool = False
    operator: str = "in"
    values: str = ""
    any_case: bool = False

    @classmethod
    def of(cls, constraint: Constraint) -> ConditionRow:
        """A stored condition, to be edited."""
        values = [str(value) for value in constraint.values]
        text = values[0] if constraint.operator == "matches" and values else join_values(values)
        return cls(constraint.field, constraint.inverted, constraint.operator, text, constraint.case_insensitive)

    def constraint(self) -> dict[str, Any]:
        """As the store takes it.

        Raises:
            Invalid: The operator cannot work with the values.
        """
        return condition(self.field, self.operator, self.values, inverted=self.negated, case_insensitive=self.any_case)


@dataclass(frozen=True, slots=True)
class RuleForm:
    """A rule as it stands in a form."""

    name: str = ""
    percentage: str = "100"
    stickiness: str = "default"
    segments: Sequence[str] = ()
    rows: Sequence[ConditionRow] = field(default_factory=lambda: (ConditionRow(),))

    @classmethod
    def of(cls, rule: Rule) -> RuleForm:
        """A stored rule, to be edited."""
        return cls(rule.name, f"{rule.percentage:g}", rule.stickiness, rule.segments, rows_of(rule.constraints))

    @classmethod
    def sent(cls, form: FormData) -> RuleForm:
        """What a person sent."""
        name, percentage, stickiness = (
            str(form.get(each, "")).strip() for each in ("name", "percentage", "stickiness")
        )
        return cls(name, percentage, stickiness or "default", texts(form, "segment"), rows_sent(form))

    def with_blank_row(self) -> RuleForm:
        """The same with room for one more condition."""
        return replace(self, rows=[*self.rows, ConditionRow()])

    def rule(self, held: Rule | None) -> dict[str, Any]:
        """As the store takes it; what the form does not show stays as it is held.

        Raises:
            Invalid: It is no rule.
        """
        kept = msgspec.to_builtins(held) if held else {}
        kept |= {
            "name": self.name,
            "percentage": read_share(self.percentage),
            "stickiness": self.stickiness,
            "segments": list(self.segments),
            "constraints": constraints_of(self.rows),
        }
        require_whom(kept)
        return {name: value for name, value in kept.items() if value or name == "percentage"}


def rows_of(constraints: Sequence[Constraint]) -> Sequence[ConditionRow]:
    """Stored conditions, to be edited; a blank one where there are none."""
    return [ConditionRow.of(constraint) for constraint in constraints] or [ConditionRow()]


def rows_sent(form: FormData) -> Sequence[ConditionRow]:
    """The conditions that a person sent; those without a field are gone, but for one to write into."""
    columns = [texts(form, name) for name in ("field", "sense", "operator", "values", "case")]
    rows = [
        ConditionRow(name.strip(), sense == "not", operator, values.strip(), case == "any")
        for name, sense, operator, values, case in zip(*columns, strict=False)
        if name.strip()
    ]
    return rows or [ConditionRow()]


def constraints_of(rows: Sequence[ConditionRow]) -> list[dict[str, Any]]:
    """As the store takes them.

    Raises:
        Invalid: A condition is none.
    """
    constraints: list[dict[str, Any]] = []
    for place, row in enumerate(rows, start=1):
        try:
            constraints += [row.constraint()] if row.field else []
        except Invalid as error:
            raise Invalid(f"condition {place}: {error}") from error
    return constraints
