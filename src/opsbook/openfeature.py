"""An OpenFeature provider over the kit: an app on OpenFeature's API asks in process, from memory.

    from openfeature import api
    from opsbook.openfeature import OpsbookProvider

    api.set_provider_and_wait(OpsbookProvider())
    api.get_client().get_boolean_value("new-checkout", False)

Needs the OpenFeature SDK (`pip install openfeature-sdk`), which Opsbook does not bring along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

try:
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.event import ProviderEventDetails
    from openfeature.exception import ErrorCode, ProviderNotReadyError
    from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
    from openfeature.provider import AbstractProvider, Metadata
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "opsbook.openfeature needs the OpenFeature SDK: pip install openfeature-sdk", name=error.name
    ) from error

from opsbook.flags import Flags
from opsbook.flags.snapshot import EMPTY, Snapshot
from opsbook.flags.targeting.context import TARGETING_KEY

T = TypeVar("T")

_READY_SECONDS = 5.0


class OpsbookProvider(AbstractProvider):
    """Answers from `flags`, which the provider closes; from the environment's where none is given.

    It is ready once the source has been heard or a state was found on disk, and says so whenever
    flags change. It evaluates in the process, so each answer takes microseconds, and no server
    that is away is ever waited for.
    """

    def __init__(self, flags: Flags | None = None, *, ready_seconds: float = _READY_SECONDS) -> None:
        super().__init__()
        self._flags = flags or Flags.from_env()
        self._ready_seconds = ready_seconds
        self._seen = EMPTY
        self._late = False
        self._unlisten: Callable[[], None] | None = None

    def get_metadata(self) -> Metadata:
        return Metadata(name="Opsbook")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Begin to follow the flags.

        Raises:
            ProviderNotReadyError: Nothing was heard in time, nor remembered; READY is emitted once something is.
        """
        self._seen = self._flags.snapshot
        self._unlisten = self._unlisten or self._flags.listen(self._changed)
        if self._flags.wait_until_ready(self._ready_seconds) or self._flags.snapshot is not EMPTY:
            return
        self._late = True
        if not self._flags.ready:  # it may have become so in between, unheard
            raise ProviderNotReadyError("the source of the flags does not answer, and none are remembered on disk")

    def shutdown(self) -> None:
        """Stop following."""
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        self._flags.close()

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return self._resolve(flag_key, default_value, evaluation_context, _boolean)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return self._resolve(flag_key, default_value, evaluation_context, _string)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return self._resolve(flag_key, default_value, evaluation_context, _integer)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return self._resolve(flag_key, default_value, evaluation_context, _float)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        return self._resolve(flag_key, default_value, evaluation_context, _object)

    def _resolve(
        self, key: str, default: T, asked: EvaluationContext | None, read: Callable[[Any], T | None]
    ) -> FlagResolutionDetails[T]:
        found = self._flags.evaluate(key, _context(asked))
        metadata = dict(found.metadata)
        if found.error_code is not None:
            return _failed(default, ErrorCode(found.error_code), f"{key}: {found.error_code}", metadata)
        if found.value is None:
            # Off, and there is no value that means off: the caller's default does.
            return FlagResolutionDetails(default, None, None, found.reason, found.variant, metadata)
        value = read(found.value)
        if value is None:
            message = f"{key} is a {type(found.value).__name__}, which is not what was asked for"
            return _failed(default, ErrorCode.TYPE_MISMATCH, message, metadata)
        return FlagResolutionDetails(value, None, None, found.reason, found.variant, metadata)

    def _changed(self, snapshot: Snapshot) -> None:
        """In the source's thread: tell the SDK, which tells its handlers."""
        before, self._seen = self._seen, snapshot
        changed = sorted(_changes(before, snapshot))
        if self._late:
            self._late = False
            self.emit_provider_ready(ProviderEventDetails(flags_changed=changed))
        elif changed and before is not EMPTY:
            self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=changed))


def _context(asked: EvaluationContext | None) -> dict[str, Any]:
    if asked is None:
        return {}
    fields = {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in asked.attributes.items()
    }
    return fields if asked.targeting_key is None else {**fields, TARGETING_KEY: asked.targeting_key}


def _failed(default: T, code: ErrorCode, message: str, metadata: dict[str, Any]) -> FlagResolutionDetails[T]:
    return FlagResolutionDetails(default, code, message, Reason.ERROR, None, metadata)


def _changes(before: Snapshot, now: Snapshot) -> set[str]:
    """The flags that differ, themselves or by a segment that one of their rules names."""
    segments = {
        name for name in {*before.segments, *now.segments} if before.segments.get(name) != now.segments.get(name)
    }
    reached = {
        name
        for name, compiled in now.flags.items()
        if segments and any(not segments.isdisjoint(rule.segments) for rule in compiled.flag.rules)
    }
    return reached.union(now.since(before))


def _boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _object(value: object) -> Sequence[FlagValueType] | Mapping[str, FlagValueType] | None:
    return value if isinstance(value, list | dict) else None
