"""What a command asks of an account, whichever it is."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import boto3

type Report = Callable[[str], None]  # shows a line to a person


@dataclass(frozen=True)
class StackChange:
    """A change of a stack to a built template, or its creation.

    `parameters` are the values to set. Of the others in `declared`, the template's, those in
    `deployed` keep the values that they have. With `asks` SAM CLI may ask before it changes
    anything; with `quiet` what it prints goes to standard error.
    """

    stack: str
    template: Path
    parameters: Mapping[str, str]
    declared: Collection[str]
    deployed: Collection[str]
    asks: bool = False
    quiet: bool = False


class Update(Protocol):
    """A change that has begun."""

    def follow(self, report: Report, news: Iterator[str]) -> int:
        """Wait until it is over and return an exit status: 0 if the stack has changed.

        What happens to the stack is reported and, between two looks at it, one of the `news` of its
        release; an empty one is none.
        """


class Account(Protocol):
    """An account in one Region, as one environment of samconfig.toml uses it."""

    @property
    def session(self) -> "boto3.Session":
        """The session in which everything is asked."""

    @property
    def unreachable(self) -> str:
        """Text to add when the endpoint does not respond."""

    @property
    def absent(self) -> str:
        """Text to add when a stack does not exist."""

    def name_stack(self) -> str:
        """Return the name of the environment's stack; raise ProjectError if it has none."""

    def read_parameters(self) -> Mapping[str, str]:
        """Return the parameters that the environment sets; raise ProjectError."""

    def upload(self, change: StackChange, report: Report) -> None:
        """Do what takes long or may fail before a change; raise AccountError if it fails."""

    def apply(self, change: StackChange) -> Update:
        """Begin a change; raise AccountError if it is refused."""
