"""What a front end's firewall must be able to do to obey our blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from opsbook.core.errors import Unavailable


class FirewallRefused(Unavailable):
    """The firewall did not answer, or not as its contract has it; says what it said."""

    title = "The firewall did not obey"


@dataclass(frozen=True, slots=True)
class FirewallRule:
    """A network that the firewall is to refuse."""

    network: str
    reason: str


class Firewall(ABC):
    """One project's firewall. It holds rules of others, too, which it must be left."""

    name: str
    """As the console and the command line call it."""
    most_rules: int
    """How many rules of ours it takes."""

    @abstractmethod
    async def obey(self, rules: Sequence[FirewallRule]) -> None:
        """Refuse exactly these of ours from now on; told the same again, it changes nothing.

        Raises:
            FirewallRefused: It did not; some of the rules may be in force.
        """
