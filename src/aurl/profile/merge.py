"""Layers of tables, one over the other, and where each value came from."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Layer:
    """A table and the file, variable or option that it was read from."""

    origin: str
    table: Mapping[str, Any]


@dataclass(slots=True)
class Merged:
    """All layers in one table.

    Args:
        table: what came out.
        origins: dotted key of every value → origin of the layer that set it.
    """

    table: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def add(self, layer: Layer) -> None:
        """Lay `layer` over what is there: tables merge, everything else replaces.

        A table that names another `kind` replaces too, as the options of the old kind mean nothing to the new one.
        """
        self._merge(self.table, layer.table, "", layer.origin)

    def _merge(self, into: dict[str, Any], table: Mapping[str, Any], prefix: str, origin: str) -> None:
        for key, value in table.items():
            dotted = f"{prefix}{key}"
            if not isinstance(value, Mapping):
                self._forget(dotted)
                into[key] = deepcopy(value)
                self.origins[dotted] = origin
                continue
            old = into.get(key)
            if not isinstance(old, dict) or _names_another_kind(old, value):
                self._forget(dotted)
                into[key] = {}
            if not value:
                self.origins[dotted] = origin
            self._merge(into[key], value, f"{dotted}.", origin)

    def _forget(self, dotted: str) -> None:
        for key in [key for key in self.origins if key == dotted or key.startswith(f"{dotted}.")]:
            del self.origins[key]


def _names_another_kind(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return "kind" in new and "kind" in old and new["kind"] != old["kind"]


def find_origin(origins: Mapping[str, str], dotted: str) -> str:
    """Origin of the key, or of the array or table that it is in; empty where no layer has set it."""
    while dotted and dotted not in origins:
        dotted = dotted.rpartition(".")[0]
    return origins.get(dotted, "")


def nested(dotted: str, value: Any) -> dict[str, Any]:
    """`{"a": {"b": value}}` for "a.b"."""
    head, _, rest = dotted.partition(".")
    return {head: nested(rest, value) if rest else value}
