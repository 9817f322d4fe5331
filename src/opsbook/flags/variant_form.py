"""Reads the console's forms of variants and prerequisites, and writes those of a flag back into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.datastructures import FormData

from opsbook.core.errors import Invalid
from opsbook.flags.conditions import join_values, read_override, read_value, split_values
from opsbook.flags.page_parts import texts
from opsbook.flags.targeting.model import Prerequisite, ValueType, Variant


@dataclass(frozen=True, slots=True)
class VariantRow:
    """One variant as it stands in a form."""

    name: str = ""
    weight: str = "1"
    value: str = ""
    always: str = ""
    """One `FIELD in VALUE, VALUE …` a line."""

    @classmethod
    def of(cls, variant: Variant) -> VariantRow:
        """A stored variant, to be edited."""
        value = variant.value
        text = "" if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()
        always = [f"{each.field} in {join_values([str(value) for value in each.values])}" for each in variant.overrides]
        return cls(variant.name, str(variant.weight), text, "\n".join(always))

    def variant(self, value_type: ValueType) -> dict[str, Any]:
        """As the store takes it.

        Raises:
            Invalid: The weight or the value will not do.
        """
        if not (self.weight.isascii() and self.weight.isdigit() and len(self.weight) < 8):
            raise Invalid(f"{self.name}: a weight is a whole number from 0 to 1,000,000")
        variant: dict[str, Any] = {"name": self.name, "weight": int(self.weight)}
        if self.value or value_type == "string":
            variant["value"] = read_value(self.value, value_type)
        elif value_type != "boolean":
            raise Invalid(f"{self.name}: a variant of a {value_type} flag has a value")
        if always := [line.strip() for line in self.always.splitlines() if line.strip()]:
            variant["overrides"] = [read_override(line) for line in always]
        return variant


@dataclass(frozen=True, slots=True)
class PrerequisiteRow:
    """One prerequisite as it stands in a form."""

    flag: str = ""
    enabled: bool = True
    variants: str = ""

    @classmethod
    def of(cls, prerequisite: Prerequisite) -> PrerequisiteRow:
        """A stored prerequisite, to be edited."""
        return cls(prerequisite.flag, prerequisite.enabled, join_values(prerequisite.variants))

    def prerequisite(self) -> dict[str, Any]:
        """As the store takes it.

        Raises:
            Invalid: A quotation mark is left open.
        """
        prerequisite: dict[str, Any] = {"flag": self.flag, "enabled": self.enabled}
        if variants := split_values(self.variants):
            prerequisite["variants"] = variants
        return prerequisite


def variant_rows(form: FormData) -> Sequence[VariantRow]:
    """The variants that a person sent; those without a name are gone."""
    columns = [texts(form, name) for name in ("variant", "weight", "value", "always")]
    return [
        VariantRow(name.strip(), weight.strip() or "1", value.strip(), always)
        for name, weight, value, always in zip(*columns, strict=False)
        if name.strip()
    ]


def prerequisite_rows(form: FormData) -> Sequence[PrerequisiteRow]:
    """The prerequisites that a person sent; those without a flag are gone."""
    columns = [texts(form, name) for name in ("flag", "wanted", "variants")]
    return [
        PrerequisiteRow(flag.strip(), wanted != "off", variants)
        for flag, wanted, variants in zip(*columns, strict=False)
        if flag.strip()
    ]
