"""Reads the console's rule and segment forms, and writes a rule back into one; what will not do keeps its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.datastructures import FormData

from opsbook.core.errors import Invalid
from opsbook.flags.conditions import condition, join_values, require_whom
from opsbook.flags.form import read_share
from opsbook.flags.page_parts import texts
from opsbook.flags.targeting.model import Constraint, Rule, ValueType
from opsbook.flags.variant_form import VariantRow, variant_rows


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
    group: str = ""
    segments: Sequence[str] = ()
    rows: Sequence[ConditionRow] = field(default_factory=lambda: (ConditionRow(),))
    variants: Sequence[VariantRow] = ()

    @classmethod
    def of(cls, rule: Rule) -> RuleForm:
        """A stored rule, to be edited."""
        return cls(
            rule.name,
            f"{rule.percentage:g}",
            rule.stickiness,
            rule.group or "",
            rule.segments,
            rows_of(rule.constraints),
            [VariantRow.of(variant) for variant in rule.variants],
        )

    @classmethod
    def sent(cls, form: FormData) -> RuleForm:
        """What a person sent."""
        name, percentage, stickiness, group = (
            str(form.get(each, "")).strip() for each in ("name", "percentage", "stickiness", "group")
        )
        return cls(
            name,
            percentage,
            stickiness or "default",
            group,
            texts(form, "segment"),
            rows_sent(form),
            variant_rows(form),
        )

    def with_blank_row(self, of: str) -> RuleForm:
        """The same with room for one more condition, or for one more variant."""
        if of == "more-variants":
            return replace(self, variants=[*self.variants, VariantRow()])
        return replace(self, rows=[*self.rows, ConditionRow()])

    def rule(self, held: Rule | None, value_type: ValueType) -> dict[str, Any]:
        """As the store takes it; what the form does not show stays as it is held.

        Raises:
            Invalid: It is no rule.
        """
        rule: dict[str, Any] = {
            "name": self.name,
            "percentage": read_share(self.percentage),
            "stickiness": self.stickiness,
            "group": self.group,
            "segments": list(self.segments),
            "constraints": constraints_of(self.rows),
            "variants": [row.variant(value_type) for row in self.variants],
        }
        # By what the variants are dealt is said of the first, and has no place in the form.
        if rule["variants"] and held and held.variants and held.variants[0].stickiness:
            rule["variants"][0]["stickiness"] = held.variants[0].stickiness
        require_whom(rule)
        return {name: value for name, value in rule.items() if value or name == "percentage"}


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
