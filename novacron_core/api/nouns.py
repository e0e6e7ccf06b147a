"""The registry of nouns: what kinds of objects a server shows, and how each is called on the wire.

Inventories, events, visibility and the console's store are driven by these rows. A noun is added by one row.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from novacron_core.api.hosts import Host
from novacron_core.api.operations import Operation
from novacron_core.api.pools import Pool
from novacron_core.api.tiers import Tier
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_core.values.roles import Permission

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Noun(Generic[T]):
    """`type` is that of an event's target, and the family of its event types: `vm.created`. `list_field` holds the
    objects in an inventory frame. `id` is the id that targets name; where `per_host` is true two hosts may have an
    object of one id, and the source of an event is the host. `permission` is needed to see the objects."""

    type: str
    struct: builtins.type[T]
    list_field: str
    id: Callable[[T], str]
    permission: Permission
    per_host: bool = False

    def key(self, thing: T) -> Hashable:
        """What identifies an object among those of its noun: its id, or (host, id)."""
        return self.key_of(getattr(thing, "host", ""), self.id(thing))

    def key_of(self, source: str, target_id: str) -> Hashable:
        """The key of an event's target."""
        return (source, target_id) if self.per_host else target_id


VMS = Noun("vm", VM, "vms", lambda vm: vm.id, Permission.VM_READ, per_host=True)
HOSTS = Noun("host", Host, "hosts", lambda host: host.id, Permission.HOST_READ)
VOLUMES = Noun("volume", Volume, "volumes", lambda volume: volume.id, Permission.VOLUME_READ)
POOLS = Noun("pool", Pool, "pools", lambda pool: pool.id, Permission.VOLUME_READ)
TIERS = Noun("tier", Tier, "tiers", lambda tier: tier.name, Permission.VOLUME_READ)
OPERATIONS = Noun("operation", Operation, "operations", lambda operation: operation.id, Permission.OPERATION_READ)


class Nouns:
    """A set of nouns, in the order in which an inventory carries them."""

    def __init__(self, nouns: Iterable[Noun[Any]]) -> None:
        """Raises ValueError when two nouns share a type or a list field."""
        self._nouns = tuple(nouns)
        self._by_type = {noun.type: noun for noun in self._nouns}
        self._by_field = {noun.list_field: noun for noun in self._nouns}
        if len(self._by_type) < len(self._nouns) or len(self._by_field) < len(self._nouns):
            raise ValueError("two nouns share a type or a list field")

    def __iter__(self) -> Iterator[Noun[Any]]:
        return iter(self._nouns)

    def of_type(self, target_type: str) -> Noun[Any] | None:
        """The noun of an event's target, None for one of a newer server."""
        return self._by_type.get(target_type)

    def of_field(self, list_field: str) -> Noun[Any] | None:
        """The noun that an inventory field lists, None for one of a newer server."""
        return self._by_field.get(list_field)

    def with_noun(self, noun: Noun[Any]) -> Nouns:
        """These and one more."""
        return Nouns([*self._nouns, noun])


NOUNS = Nouns([HOSTS, VMS, VOLUMES, POOLS, TIERS, OPERATIONS])
