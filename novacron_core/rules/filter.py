"""The filter language: `state:running host:kvm-a tag:db memory>2G db-* -test`, the same in the console and the API.

Terms are joined by *and*. A bare word is looked for in the name, or matched whole when it has `*` or `?`. `field:a,b`
means one of them, each the beginning of what the field says (so that `state:run` finds something while it is typed), or
the whole of it in quotes; `field>8`, `>=`, `<`, `<=`, `=` compare numbers, with the units of `units.parse_size` for sizes. A `-`
or `!` before a term turns it round. Quotes keep spaces together. Letter case does not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import reduce
from typing import Any, Generic, Literal, TypeVar

from novacron_core.api.metrics import VMSample
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_core.rules.units import parse_size

T = TypeVar("T")
Test = Callable[[T], bool]
Look = Callable[[str], bool]
MAX_LENGTH = 500
_TERM = re.compile(
    r'(?P<not>[-!]?)(?:(?P<field>[a-z_]+)(?P<op>:|>=|<=|>|<|=))?(?P<value>"[^"]*"?|[^\s"]*)', re.IGNORECASE
)


class FilterError(ValueError):
    """A filter that is not understood, in a sentence for the operator. `position` counts characters from 0."""

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True)
class Field(Generic[T]):
    """What a filter may ask of a thing. `read` gives a text, several texts, a number, or None for none."""

    read: Callable[[T], Any]
    kind: Literal["text", "texts", "number", "size"] = "text"


def compile_filter(text: str, fields: Mapping[str, Field[T]]) -> Test[T]:
    """The test that a filter stands for; an empty one lets everything pass. `fields` must have `name`.

    Raises FilterError for a field that is not there, a value that does not fit, or a text that is too long.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"a filter has at most {MAX_LENGTH} characters")
    tests = [_term(match, fields) for match in _terms(text)]
    if not tests:
        return lambda thing: True
    return reduce(_both, tests)


def _both(first: Test[T], second: Test[T]) -> Test[T]:
    return lambda thing: first(thing) and second(thing)


def _terms(text: str) -> Iterable[re.Match[str]]:
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        match = _TERM.match(text, position)
        if match is None or match.end() == position:
            raise FilterError(f"this is not understood: {text[position:]}", position)
        yield match
        position = match.end()


def _term(match: re.Match[str], fields: Mapping[str, Field[T]]) -> Test[T]:
    name = (match["field"] or "name").lower()
    quoted = match["value"].startswith('"')
    value = match["value"].strip('"')
    field = fields.get(name)
    if field is None:
        raise FilterError(f"there is no field {name}: there are {', '.join(fields)}", match.start())
    if not value:
        raise FilterError(f"{match[0].strip()} wants a value", match.start())
    if match["field"] is None:
        test: Test[T] = _texts(field, [value], _contained)
    elif match["op"] == ":":
        words = [word for word in value.split(",") if word]
        test = (
            _number(field, "=", words[0], match)
            if field.kind in ("number", "size") and words
            else _texts(field, words, _whole if quoted else _beginning)
        )
    else:
        test = _number(field, match["op"], value, match)
    if match["not"]:
        return lambda thing: not test(thing)
    return test


def _texts(field: Field[T], words: list[str], plain: Callable[[str], Look]) -> Test[T]:
    looks = [_look(word, plain) for word in words]
    read, several = field.read, field.kind == "texts"

    def test(thing: T) -> bool:
        found = read(thing)
        if several:
            return any(look(text.casefold()) for text in found for look in looks)
        return found is not None and any(look(str(found).casefold()) for look in looks)

    return test if several or len(looks) != 1 else _text(read, looks[0])


def _text(read: Callable[[T], Any], look: Callable[[str], bool]) -> Test[T]:
    """The common case, asked of thousands at every key."""

    def test(thing: T) -> bool:
        found = read(thing)
        return found is not None and look((found if isinstance(found, str) else str(found)).casefold())

    return test


def _look(word: str, plain: Callable[[str], Look]) -> Look:
    """A glob matches whole; what a word without one means is up to `plain`."""
    word = word.casefold()
    if "*" in word or "?" in word:
        # `[` is a letter here: file name sets are more than anybody types into a filter.
        pattern = re.compile(translate(word.replace("[", "[[]")))
        return lambda text: pattern.match(text) is not None
    return plain(word)


def _contained(word: str) -> Look:
    return lambda text: word in text


def _beginning(word: str) -> Look:
    return lambda text: text.startswith(word)


def _whole(word: str) -> Look:
    return lambda text: text == word


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "=": lambda a, b: a == b,
}


def _number(field: Field[T], op: str, value: str, match: re.Match[str]) -> Test[T]:
    if field.kind not in ("number", "size"):
        raise FilterError(f"{match['field']} is no number: write {match['field']}:{value}", match.start())
    try:
        wanted = float(parse_size(value)) if field.kind == "size" else float(value)
    except ValueError as e:
        raise FilterError(f"{match[0].strip()}: {value} is no number", match.start()) from e
    compare, read = _COMPARE[op], field.read

    def test(thing: T) -> bool:
        found = read(thing)
        return found is not None and compare(float(found), wanted)

    return test


LIVE_FIELDS = ("cpu", "mem", "used", "disk", "net")
"""What is asked of a VM's newest sample, and changes every few seconds."""


def vm_fields(
    host_names: Mapping[str, str], sample_of: Callable[[VM], VMSample | None] = lambda vm: None
) -> dict[str, Field[VM]]:
    """What can be asked of a VM. `host_names` maps host ids to names; a host is found by either.

    `sample_of` gives its newest numbers: `cpu>80` is percent of its vCPUs, `mem>90` percent of its memory, `used>2G` its
    used memory, `disk>10M` and `net>1M` bytes per second both ways. A VM without the number never passes.
    """

    def live(read: Callable[[VMSample], float | None]) -> Callable[[VM], float | None]:
        return lambda vm: None if (sample := sample_of(vm)) is None else read(sample)

    return {
        "cpu": Field(live(lambda sample: sample.cpu_percent), "number"),
        "mem": Field(live(lambda sample: sample.memory_percent), "number"),
        "used": Field(live(lambda sample: sample.memory_used_bytes), "size"),
        "disk": Field(live(lambda sample: sample.disk_bytes_s), "size"),
        "net": Field(live(lambda sample: sample.net_bytes_s), "size"),
        "name": Field(lambda vm: vm.name),
        "state": Field(lambda vm: str(vm.state)),
        "host": Field(lambda vm: (host_names.get(vm.host, vm.host), vm.host), "texts"),
        "tag": Field(_tags, "texts"),
        "tier": Field(lambda vm: vm.tier),
        "owner": Field(lambda vm: vm.owner),
        "tenant": Field(lambda vm: vm.tenant),
        "id": Field(lambda vm: vm.id),
        "ip": Field(lambda vm: [address for nic in vm.nics for address in nic.addresses], "texts"),
        "vcpus": Field(lambda vm: vm.vcpus, "number"),
        "memory": Field(lambda vm: vm.memory_bytes, "size"),
        "is": Field(_marks, "texts"),
    }


def _tags(vm: VM) -> list[str]:
    """A tag is found by its key, its value, or both."""
    return [text for key, value in vm.tags.items() for text in (key, value, f"{key}={value}")]


def _marks(vm: VM) -> list[str]:
    marks = {
        "foreign": vm.foreign,
        "protected": vm.protected,
        "busy": vm.operation is not None,
        "simulated": vm.simulated,
        "shared": bool(vm.also_on),
    }
    return [name for name, true in marks.items() if true]


def volume_fields(host_names: Mapping[str, str], vm_names: Mapping[str, str]) -> dict[str, Field[Volume]]:
    """What can be asked of a volume. The maps give names by id; a host and a VM are found by either."""
    return {
        "name": Field(lambda volume: volume.name),
        "tier": Field(lambda volume: volume.tier),
        "pool": Field(lambda volume: volume.pool),
        "host": Field(lambda volume: (host_names.get(volume.host, volume.host), volume.host), "texts"),
        "vm": Field(lambda volume: (vm_names.get(volume.vm, ""), volume.vm) if volume.vm else (), "texts"),
        "format": Field(lambda volume: volume.format),
        "tenant": Field(lambda volume: volume.tenant),
        "id": Field(lambda volume: volume.id),
        "size": Field(lambda volume: volume.size_bytes, "size"),
        "used": Field(lambda volume: volume.allocated_bytes, "size"),
        "is": Field(_volume_marks, "texts"),
    }


def _volume_marks(volume: Volume) -> list[str]:
    marks = {
        "foreign": volume.foreign,
        "free": volume.vm is None,
        "busy": volume.operation is not None,
        "overlay": bool(volume.leans_on),
        "simulated": volume.simulated,
    }
    return [name for name, true in marks.items() if true]
