"""The parts of a flag in words, the same in every face: a condition, a rule, a variant, a prerequisite."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from opsbook.flags.conditions import join_values
from opsbook.flags.targeting.model import Constraint, Prerequisite, Rule, Variant

_VALUES_SHOWN = 5


def condition_in_words(constraint: Constraint) -> str:
    """As `conditions.read_condition` reads it, but for values past the fifth, which are counted."""
    values = [str(value) for value in list(constraint.values)[:_VALUES_SHOWN]]
    hidden = len(constraint.values) - len(values)
    text = values[0] if constraint.operator == "matches" and values else join_values(values)
    more = f" and {hidden} more" if hidden > 0 else ""
    folded = " in any case" if constraint.case_insensitive else ""
    return f"{'not ' if constraint.inverted else ''}{constraint.field} {constraint.operator} {text}{more}{folded}"


def rule_in_words(rule: Rule) -> str:
    """Whom a rule is for, in one line."""
    parts = [condition_in_words(constraint) for constraint in rule.constraints]
    parts += [f"in segment {segment}" for segment in rule.segments]
    share = "" if rule.percentage >= 100 else f"{rule.percentage:g} % of "
    by = "" if rule.stickiness == "default" else f", by {rule.stickiness}"
    group = f", group {rule.group}" if rule.group else ""
    variants = f", as {variants_in_words(rule.variants)}" if rule.variants else ""
    return f"{share}{' and '.join(parts) or 'everybody'}{by}{group}{variants}"


def variant_in_words(variant: Variant) -> str:
    """A variant's weight, its value where it has one, and who always gets it."""
    value = "" if variant.value is None else f", {orjson.dumps(variant.value).decode()}"
    by = f", by {variant.stickiness}" if variant.stickiness else ""
    always = "".join(
        f", always for {override.field} in {join_values([str(value) for value in override.values])}"
        for override in variant.overrides
    )
    return f"weight {variant.weight}{value}{by}{always}"


def variants_in_words(variants: Sequence[Variant]) -> str:
    """The variants' names with their weights, as `blue 1, green 3`."""
    return ", ".join(f"{variant.name} {variant.weight}" for variant in variants)


def prerequisite_in_words(prerequisite: Prerequisite) -> str:
    """What another flag must be."""
    variants = f" as {' or '.join(prerequisite.variants)}" if prerequisite.enabled and prerequisite.variants else ""
    return f"{'on' if prerequisite.enabled else 'off'}{variants}"


def rule_title(rule: Rule, place: int) -> str:
    """A rule's name, or its place counted from 1 where it has none."""
    return rule.name or f"rule {place}"
