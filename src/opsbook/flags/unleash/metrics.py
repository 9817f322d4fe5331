"""What SDKs tell of themselves: that they are there, and how often a flag was what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec

from opsbook.core.errors import Invalid
from opsbook.flags.exposures.counting import Counts
from opsbook.flags.model import NAME_PATTERN

Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]

_NAME = re.compile(NAME_PATTERN)
_MOST_FLAGS = 10_000


class Registration(msgspec.Struct, rename="camel"):
    """An SDK that starts; more is sent than is read."""

    app_name: str
    sdk_version: str | None = None
    instance_id: str | None = None


class Toggle(msgspec.Struct):
    """How often one flag was on and off, and which of its variants were given out."""

    yes: Count = 0
    no: Count = 0
    variants: Mapping[str, Count] = {}


class Bucket(msgspec.Struct):
    """The counts since the report before."""

    toggles: Mapping[str, Toggle] = {}


class Metrics(msgspec.Struct, rename="camel"):
    """One report; an SDK that had nothing to count leaves the bucket out."""

    app_name: str = ""
    bucket: Bucket | None = None


def read_registration(body: bytes) -> Registration:
    """What an SDK says of itself.

    Raises:
        Invalid: It is no registration.
    """
    try:
        return msgspec.json.decode(body, type=Registration)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"this is no registration of an Unleash SDK: {error}") from error


def read_metrics(body: bytes) -> Counts:
    """How often each flag was what, by flag and variant; the SDK's names turned into ours.

    Raises:
        Invalid: It is no report.
    """
    try:
        metrics = msgspec.json.decode(body, type=Metrics)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"this is no metrics report of an Unleash SDK: {error}") from error
    toggles = metrics.bucket.toggles if metrics.bucket else {}
    if len(toggles) > _MOST_FLAGS:
        raise Invalid(f"a report has at most {_MOST_FLAGS:,} flags")
    counts: dict[tuple[str, str], int] = {}
    for name, toggle in toggles.items():
        if _NAME.match(name):
            counts |= {(name, variant): count for variant, count in _by_variant(toggle).items() if count > 0}
    return counts


def _by_variant(toggle: Toggle) -> Mapping[str, int]:
    variants = {name: count for name, count in toggle.variants.items() if name != "disabled" and "\x00" not in name}
    # An SDK counts a variant that it gave out as a "yes" too.
    return {**variants, "on": toggle.yes - sum(variants.values()), "off": toggle.no}
