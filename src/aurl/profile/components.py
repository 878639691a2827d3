"""Components of a profile, checked against the typed keyword arguments of their factories."""

from collections.abc import Collection, Mapping
from inspect import Parameter
from typing import Any

from pydantic import ConfigDict, ValidationError, create_model

from aurl.errors import did_you_mean
from aurl.profile.faults import Fault, describe_fault
from aurl.profile.sections import NONE_WORD, ComponentOf, KindsOf, OptionsOf, Section
from aurl.registry import Option, Registry, find_registry

Marker = ComponentOf | KindsOf | OptionsOf


def marker_of(section: type[Section], name: str) -> Marker | None:
    """What the field refers to, where it refers to a registry."""
    return next((mark for mark in section.model_fields[name].metadata if isinstance(mark, Marker)), None)


class Completer:
    """Checks component fields and fills in the options that they leave to their defaults.

    Args:
        check: registries to look into; fields of others are left as they are.

    Attributes:
        faults: what has been found so far.
    """

    def __init__(self, check: Collection[str]) -> None:
        self.faults: list[Fault] = []
        self._check = check

    def section(self, section: Section, name: str) -> Section:
        """`section` (whose table is called `name`) with its components checked and completed."""
        updates: dict[str, Any] = {}
        for field in type(section).model_fields:
            mark = marker_of(type(section), field)
            if mark is None or mark.registry not in self._check:
                continue
            registry, key = find_registry(mark.registry), f"{name}.{field}"
            match mark:
                case ComponentOf():
                    updates[field] = self._components(registry, getattr(section, field), key)
                case KindsOf():
                    self._kinds(registry, getattr(section, field), key)
                case OptionsOf():
                    updates[field] = self._options_table(registry, section, field, key)
        return section.model_copy(update=updates)

    def _components(self, registry: Registry[Any], value: Any, key: str) -> Any:
        if value is None:
            return None
        if isinstance(value, dict):
            return self._component(registry, value, key)
        return tuple(self._component(registry, item, f"{key}.{index}") for index, item in enumerate(value))

    def _component(self, registry: Registry[Any], component: dict[str, Any], key: str) -> dict[str, Any]:
        options = dict(component)
        kind = options.pop("kind", None)
        if kind is None:
            known = ", ".join(registry.kinds())
            self.faults.append(Fault(key, f"needs a kind, one of {known}"))
            return component
        return {"kind": kind} | self._options(registry, kind, options, key, kind_key=f"{key}.kind")

    def _kinds(self, registry: Registry[Any], kinds: Collection[str], key: str) -> None:
        for kind in dict.fromkeys(kinds):
            self._is_known(registry, kind, key)

    def _options_table(self, registry: Registry[Any], section: Section, field: str, key: str) -> dict[str, Any]:
        used = [kind for name in type(section).model_fields for kind in _kinds_in(section, name, registry.name)]
        table: dict[str, Any] = {kind: {} for kind in used if kind in registry.kinds()} | getattr(section, field)
        return {kind: self._options(registry, kind, table[kind], f"{key}.{kind}") for kind in table}

    def _options(
        self, registry: Registry[Any], kind: Any, options: Mapping[str, Any], key: str, *, kind_key: str = ""
    ) -> dict[str, Any]:
        if not self._is_known(registry, kind, kind_key or key):
            return dict(options)
        known = {option.name: option for option in registry.options(kind)}
        fields: dict[str, Any] = {
            name: (option.annotation, ... if option.default is Parameter.empty else option.default)
            for name, option in known.items()
        }
        options = {name: value for name, value in options.items() if not _is_unset(known.get(name), value)}
        config = ConfigDict(extra="forbid", protected_namespaces=(), allow_inf_nan=False)
        try:
            checked = create_model(kind, __config__=config, **fields)(**options)
        except ValidationError as error:
            self.faults += [_option_fault(key, known, fault) for fault in error.errors(include_url=False)]
            return dict(options)
        complete: dict[str, Any] = checked.model_dump(mode="json", exclude_none=True)
        return complete

    def _is_known(self, registry: Registry[Any], kind: Any, key: str) -> bool:
        if kind in registry.kinds():
            return True
        known = registry.kinds()
        meant = did_you_mean(str(kind), known)
        self.faults.append(Fault(key, f"unknown kind {kind!r}, known: {', '.join(known)}", suggestion=meant))
        return False


def _is_unset(option: Option | None, value: Any) -> bool:
    """The word that stands for a default of nothing."""
    return option is not None and option.default is None and value == NONE_WORD


def _kinds_in(section: Section, field: str, registry: str) -> tuple[str, ...]:
    return getattr(section, field) if marker_of(type(section), field) == KindsOf(registry) else ()


def _option_fault(key: str, known: Collection[str], error: Any) -> Fault:
    place = [str(part) for part in error["loc"] if "[" not in str(part)]  # the rest name branches of a union
    dotted = ".".join((key, *place))
    unknown = error["type"] == "extra_forbidden"
    meant = did_you_mean(dotted, [f"{key}.{name}" for name in known]) if unknown else ""
    listed = f", known: {', '.join(known) or 'no options'}" if unknown else ""
    return Fault(dotted, describe_fault(error) + listed, suggestion=meant)
