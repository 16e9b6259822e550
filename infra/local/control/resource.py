"""A resource of a stack: as its template wants it, as it exists, and who handles it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from infra.local.control.archives import Archives
from infra.local.control.code_deploy import Progress
from infra.local.stack import BuiltStack


@dataclass(frozen=True)
class Wanted:
    """A resource as a template wants it, with all of its properties resolved.

    `content` stands for the files that it is made of, `policy` is its UpdatePolicy. Two that are
    equal need no change.
    """

    logical_id: str
    kind: str
    name: str
    properties: Mapping[str, Any]
    content: Any = None
    policy: Mapping[str, Any] = field(default_factory=dict, compare=False)
    is_retained: bool = field(default=False, compare=False)
    stack: BuiltStack = field(compare=False, repr=False, kw_only=True)
    archives: Archives = field(compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class Held:
    """A resource that exists: what Ref and Fn::GetAtt give, and what its handler has made."""

    wanted: Wanted
    physical_id: str
    attributes: Mapping[str, Any]
    made: Any = None


@dataclass
class Change:
    """One change of a stack: who began it, and how the releases in it go.

    `published` has the versions that were published in it by the names of their functions, `copies`
    the folders of layers that were copied in it by the layers' digests.
    """

    releases: dict[str, Progress] = field(default_factory=dict)
    published: dict[str, str] = field(default_factory=dict)
    copies: dict[tuple[str, ...], Path] = field(default_factory=dict)
    creator: str = "CloudFormation"

    def release(self, function: str) -> Progress:
        """Return the progress of a function's release."""
        return self.releases.setdefault(function, Progress(lambda _event: None))


class Handler(ABC):
    """Creates, changes and deletes the resources of one type.

    One that `keeps_replaced` leaves the old resource where it makes another in its place: that is
    deleted when the whole stack has been updated.
    """

    keeps_replaced: ClassVar[bool] = True

    def check(self, kind: str) -> str:
        """Say why there can be no resource of this type, or nothing."""
        del kind
        return ""

    @abstractmethod
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        """Create a resource, or change the one that is held."""

    async def restore(self, old: Held, held: Held | None, change: Change) -> Held:
        """Make a resource again what it was."""
        return await self.put(old.wanted, held, change)

    @abstractmethod
    async def delete(self, held: Held) -> None:
        """Delete a resource."""
