"""What OFREP's requests and answers look like on the wire, and the errors that they name.

Source: open-feature/protocol, service/openapi.yaml, with event streams as of architecture decision 8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from opsbook.flags.evaluation import FLAG_NOT_FOUND, INVALID_CONTEXT, TARGETING_KEY_MISSING, Evaluation, Metadata
from opsbook.flags.targeting.context import TARGETING_KEY, Context

PARSE_ERROR: Final = "PARSE_ERROR"
GENERAL: Final = "GENERAL"

_STATUS: Final = {FLAG_NOT_FOUND: 404, GENERAL: 500}
_DETAILS: Final = {
    FLAG_NOT_FOUND: "there is no flag of this name",
    TARGETING_KEY_MISSING: "the context has no targetingKey, which this flag's percentage sticks to",
    INVALID_CONTEXT: "the flag could not be evaluated for this context",
}


class Unanswerable(Exception):
    """A request that cannot be answered, with the protocol's code for why; the message says more."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Success(msgspec.Struct, omit_defaults=True):
    """What a flag is for the context; without a value, the caller's default counts."""

    key: str
    reason: str
    variant: str | None
    metadata: Metadata
    value: Any = msgspec.UNSET


class Failure(msgspec.Struct, omit_defaults=True):
    """Why a flag, or with no key the request as a whole, has no value."""

    errorCode: str  # noqa: N815 - the protocol's name
    errorDetails: str  # noqa: N815
    key: str | None = None

    @property
    def status(self) -> int:
        """The HTTP status of an answer that says nothing else."""
        return _STATUS.get(self.errorCode, 400)


Outcome = Success | Failure


def outcome_of(key: str, evaluation: Evaluation) -> Outcome:
    """An evaluation as the protocol says it."""
    if evaluation.error_code is not None:
        return Failure(evaluation.error_code, _DETAILS.get(evaluation.error_code, evaluation.error_code), key)
    value = msgspec.UNSET if evaluation.value is None else evaluation.value
    return Success(key, evaluation.reason, evaluation.variant, evaluation.metadata, value)


def read_context(body: bytes) -> Context:
    """The evaluation context of a request; empty where it names none.

    Raises:
        Unanswerable: The body is not JSON, or its context not one.
    """
    try:
        request = msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Unanswerable(PARSE_ERROR, "the body is not JSON") from error
    if not isinstance(request, Mapping):
        raise Unanswerable(PARSE_ERROR, 'the body is not an object such as {"context": {"targetingKey": "user-1"}}')
    context: object = request.get("context")
    if context is None:
        return {}
    if not isinstance(context, Mapping):
        raise Unanswerable(INVALID_CONTEXT, "the context is not an object")
    if isinstance(context.get(TARGETING_KEY), Mapping | list):
        raise Unanswerable(INVALID_CONTEXT, f"{TARGETING_KEY} is not a text")
    return context


def entity_tag(context: Context, body: bytes) -> str:
    """Stands for a bulk answer to a context: another context, or another answer, has another."""
    asked = msgspec.json.encode(context, order="deterministic")
    return f'"{hashlib.blake2b(body, digest_size=16, key=hashlib.sha256(asked).digest()).hexdigest()}"'
