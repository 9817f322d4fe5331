"""Which of a flag's variants a context gets: an override, else by weight, sticky on a field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from opsbook.flags.hashing import variant_bucket
from opsbook.flags.targeting.context import Context, as_text, field_reader, sticky_reader
from opsbook.flags.targeting.model import Variant

T = TypeVar("T")


class VariantPicker(Generic[T]):
    """Picks among variants, giving what `outcome` made of each."""

    def __init__(
        self, variants: Sequence[Variant], group: str, stickiness: str, outcome: Callable[[Variant], T]
    ) -> None:
        self._group = group
        self._read = sticky_reader(variants[0].stickiness or stickiness)
        self._overrides = [
            (field_reader(override.field), frozenset(map(as_text, override.values)), outcome(variant))
            for variant in variants
            for override in variant.overrides
        ]
        weighed = [variant for variant in variants if variant.weight > 0]
        self._total = sum(variant.weight for variant in weighed)
        self._limits = list(zip(accumulate(v.weight for v in weighed), map(outcome, weighed), strict=True))

    def pick(self, context: Context) -> T | None:
        """The outcome of the variant that is this context's; None where all weights are zero."""
        for read, values, outcome in self._overrides:
            if (text := read(context)) is not None and text in values:
                return outcome
        if self._total == 0:
            return None
        place = variant_bucket(self._group, self._read(context) or "", self._total)
        return next(outcome for limit, outcome in self._limits if place <= limit)
