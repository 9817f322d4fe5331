"""The fields of a flag as a caller gives them, by HTTP or in a form: one reading, so that both refuse the same."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator

from opsbook.core.errors import Invalid
from opsbook.core.http.fields import Moment
from opsbook.flags.model import NAME_PATTERN
from opsbook.flags.targeting.model import ValueType
from opsbook.flags.targeting.operators import require_patterns

MOST_REVISION = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8259, 6)."""
_NO_NUL = "^[^\x00]*$"
"""What a Postgres text can hold."""
_FLOAT_ERROR = 1e-9
"""What a caller's arithmetic may add to a hundredth: 57 × 0.01 is 0.5700000000000001."""
_NEVER_NULL = (
    *("enabled", "kill_switch", "rollout_percentage", "description", "tags"),
    *("value_type", "rules", "variants", "prerequisites", "off_when_expired", "requires_approval"),
)

Objects = list[dict[str, Any]]

Reason = Annotated[
    str | None,
    Field(max_length=2000, pattern=_NO_NUL, description="Why; it stands in the history and the audit."),
]


def _without_null(schema: dict[str, Any]) -> None:
    """None stands for a field that was left out; the description must not promise that null is one too."""
    for name in _NEVER_NULL:
        described = schema["properties"][name]
        described |= described.pop("anyOf")[0]


class FlagFields(BaseModel):
    """The fields of a flag that may be changed; those left out stay as they are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_null)

    enabled: StrictBool | None = None
    kill_switch: StrictBool | None = Field(None, description="Off for everybody; beats everything.")
    rollout_percentage: float | None = Field(
        None,
        ge=0,
        le=100,
        strict=True,
        allow_inf_nan=False,
        description="In steps of 0.01.",
        json_schema_extra={"multipleOf": 0.01},
    )
    description: str | None = Field(None, max_length=2000, pattern=_NO_NUL)
    owner: str | None = Field(None, max_length=200, pattern=_NO_NUL)
    tags: list[Annotated[str, Field(min_length=1, max_length=50, pattern=_NO_NUL)]] | None = Field(None, max_length=20)
    value_type: ValueType | None = Field(None, description="What the variants' values are.")
    rules: Objects | None = Field(None, max_length=1000, description="Whom it is on for besides the rollout.")
    variants: Objects | None = Field(None, max_length=100, description="The values that it may have, by weight.")
    prerequisites: Objects | None = Field(None, max_length=50, description="What other flags must be.")
    expires_at: Moment | None = None
    off_when_expired: StrictBool | None = Field(None, description="Whether expires_at turns it off, or only reminds.")
    archived_at: Moment | None = None
    requires_approval: StrictBool | None = Field(None, description="Whether a change waits for a second person.")
    revision: int | None = Field(None, ge=1, le=MOST_REVISION, description="Refuse if the flag is at another revision.")
    reason: Reason = None

    @field_validator("rollout_percentage")
    @classmethod
    def _hundredths(cls, value: float | None) -> float | None:
        if value is None:
            return None
        rounded = round(value, 2)
        if not math.isclose(value, rounded, abs_tol=_FLOAT_ERROR):
            raise ValueError("a rollout percentage has at most two decimals")
        return rounded

    @field_validator("rules")
    @classmethod
    def _readable(cls, value: Objects | None) -> Objects | None:
        # The rest is the database's to refuse, for every hand alike; patterns are RE2's, which it does not know.
        require_patterns(constraint for rule in value or () for constraint in rule.get("constraints") or ())
        return value

    def changes(self) -> dict[str, Any]:
        """What was given, as the store takes it.

        Raises:
            Invalid: A field that must have a value was given as null.
        """
        given = self.model_dump(mode="json", include=self.model_fields_set - {"revision", "reason", "name"})
        for name in _NEVER_NULL:
            if name in given and given[name] is None:
                raise Invalid(f"{name} may be left out, but not null")
        return given


class FlagInput(FlagFields):
    """A flag to create or change."""

    name: str = Field(pattern=NAME_PATTERN)


class SegmentFields(BaseModel):
    """A segment to create or change."""

    model_config = ConfigDict(extra="forbid")

    description: str | None = Field(None, max_length=2000, pattern=_NO_NUL)
    constraints: Objects = Field(max_length=100, description="All of them must hold.")
    revision: int | None = Field(
        default=None,
        ge=0,
        le=MOST_REVISION,
        strict=True,
        description="Refuse if the segment is at another revision; 0, if there is one.",
    )
    reason: Reason = None

    @field_validator("constraints")
    @classmethod
    def _readable(cls, value: Objects) -> Objects:
        require_patterns(value)
        return value
