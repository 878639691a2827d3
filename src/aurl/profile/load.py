"""All layers into one frozen profile."""

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from aurl.profile.components import Completer
from aurl.profile.faults import Fault, ProfileError, describe_fault, nearest_key
from aurl.profile.idle import MODE_KEY, idle_keys
from aurl.profile.merge import Layer, Merged, find_origin, nested
from aurl.profile.model_sections import Discriminator, Latent, Model
from aurl.profile.pairs import clashing_keys, unpaired_keys
from aurl.profile.sections import Controls, Data, Generation, Prepare, Section, Tokens
from aurl.profile.sources import (
    environment_layers,
    file_layers,
    find_profile,
    flag_layer,
    named_layers,
    override_layers,
    standing_layers,
)
from aurl.profile.stages import STAGES, Stage, faults_in_stages, laid_over, read_stages, stages_to_toml
from aurl.profile.toml import format_key, format_value
from aurl.profile.training_sections import Loss, Training
from aurl.profile.watching_sections import Watching
from aurl.registry import HOMES

DEFAULT_ORIGIN = "default"
SIZE_KEY = "model.d_model"
"""The key that every size sets: who has set it has chosen a size."""


MODEL_TABLES = ("model", "latent", "controls")
"""What decides which weights fit."""


class Profile(BaseModel):
    """Everything that decides what is prepared, built, trained and generated; it cannot be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    prepare: Prepare = Prepare()
    tokens: Tokens = Tokens()
    data: Data = Data()
    controls: Controls = Controls()
    model: Model = Model()
    latent: Latent = Latent()
    discriminator: Discriminator = Discriminator()
    loss: Loss = Loss()
    training: Training = Training()
    watching: Watching = Watching()
    generation: Generation = Generation()
    stages: tuple[Stage, ...] = ()

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _default_size: str | None = PrivateAttr(default=None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash(self.hash)

    @property
    def default_size(self) -> str | None:
        """The size that was taken because none was named."""
        return self._default_size

    @property
    def hash(self) -> str:
        """SHA-256 of all values, whatever their origin."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def origin(self, dotted: str) -> str:
        """The file, variable or option that set the key (or the array that it is in), or "default"."""
        return find_origin(self._origins, dotted) or DEFAULT_ORIGIN

    def values(self) -> dict[str, Any]:
        """Dotted key → value, in the order of the sections."""
        values = {
            f"{name}.{key}": value for name, section in self._sections().items() for key, value in section.items()
        }
        return values | ({STAGES: self.model_dump(mode="json")[STAGES]} if self.stages else {})

    def to_toml(self) -> str:
        """All values as a profile file; `read_resolved` reads it back to an equal profile."""
        tables = []
        for name, section in self._sections().items():
            lines = [f"{format_key(key)} = {format_value(value)}" for key, value in section.items()]
            tables.append("\n".join([f"[{name}]", *lines]))
        return "\n\n".join([*tables, *stages_to_toml(self.stages)]) + "\n"

    def _sections(self) -> dict[str, dict[str, Any]]:
        """Table name → its keys and values."""
        return self.model_dump(mode="json", exclude={STAGES})


def section_types() -> dict[str, type[Section]]:
    """Table name → section."""
    fields = {name: field for name, field in Profile.model_fields.items() if name != STAGES}
    return {name: field.annotation for name, field in fields.items()}  # type: ignore[misc]


def known_keys() -> tuple[str, ...]:
    """All dotted keys."""
    return tuple(f"{name}.{key}" for name, section in section_types().items() for key in section.model_fields)


def load_profile(
    names: Sequence[str] = (),
    overrides: Sequence[str] = (),
    *,
    flags: Mapping[str, Any] | None = None,
    default_size: str | None = None,
    check: Collection[str] | None = None,
    start: Path | None = None,
    like: Path | None = None,
) -> Profile:
    """Merge, lowest first: packaged < user < nearest `aurl.toml` < `names` < `AURL_*` < `overrides` < `flags`.

    Args:
        names: profiles by name or path; later ones win.
        overrides: `KEY=VALUE` as given to `--set`.
        flags: dotted key → value of a command-line option, None where it was not given.
        default_size: packaged size that is laid under everything where nobody has chosen a size.
        check: registries whose components are checked now; None: all of them.
        start: folder from which the nearest `aurl.toml` is looked for; the working folder by default.
        like: profile of a run whose model is built again; only `names` and what comes after them may change it.

    Raises:
        ProfileError: every fault at once.
        NotFoundError: a profile that is named does not exist.
    """
    standing = [*standing_layers(start), *(() if like is None else _model_layers(like))]
    named = [layer for name in names for layer in named_layers(name)]
    single = [*override_layers(overrides)]
    upper = [*standing, *named, *environment_layers(os.environ), *single, *flag_layer(flags or {})]
    size = default_size if default_size and not _is_set(SIZE_KEY, upper) else None
    lower = file_layers(find_profile(size)) if size else ()
    merged, faults = _merged((*named_layers("transformer"), *lower, *upper))
    if MODE_KEY not in (flags or {}):
        faults += idle_keys(merged, named, single, mode_is_open=not _is_set(MODE_KEY, upper))
    profile = _validate(merged, HOMES if check is None else check, faults)
    profile._default_size = size
    return profile


def _model_layers(path: Path) -> Iterator[Layer | Fault]:
    """What a profile says of the model, and nothing else of it."""
    for layer in file_layers(path):
        if isinstance(layer, Fault):
            yield layer
        else:
            yield Layer(layer.origin, {name: layer.table[name] for name in MODEL_TABLES if name in layer.table})


def read_resolved(path: Path) -> Profile:
    """The profile that a run folder keeps; nothing but this file is looked at.

    Raises:
        ProfileError: it does not fit this version of aurl.
        NotFoundError: there is no such file.
    """
    merged, faults = _merged(file_layers(path))
    return _validate(merged, (), faults)


def overlay(profile: Profile, values: Mapping[str, Any], origin: str) -> Profile:
    """`profile` with some keys changed; a key without effect in its mode is a fault, as it is for `--set`.

    Args:
        profile: with all components complete.
        values: dotted key → value.
        origin: what faults are to name before the key, such as "--search".

    Raises:
        ProfileError: every fault at once.
    """
    merged = Merged(profile.model_dump(), dict(profile._origins))
    layers = [Layer(f"{origin} {key}", nested(key, value)) for key, value in values.items()]
    for layer in layers:
        merged.add(layer)
    return _validate(merged, HOMES, idle_keys(merged, (), layers, mode_is_open=False))


def _merged(layers: Iterable[Layer | Fault]) -> tuple[Merged, list[Fault]]:
    """The layers over the defaults, and what is wrong with those that could not be read."""
    merged, faults = Merged(Profile().model_dump()), []
    for layer in layers:
        if isinstance(layer, Fault):
            faults.append(layer)
        else:
            merged.add(layer)
    return merged, faults


def _is_set(dotted: str, layers: Iterable[Layer | Fault]) -> bool:
    table, _, key = dotted.partition(".")
    tables = [layer.table.get(table) for layer in layers if isinstance(layer, Layer)]
    return any(isinstance(found, Mapping) and key in found for found in tables)


def _validate(merged: Merged, check: Collection[str], faults: Iterable[Fault]) -> Profile:
    """Check section by section, so that a fault in one does not hide another's faulty components."""
    sections, wrong = _sections(merged, check)
    stages, wrong_stages = read_stages(merged.table.get(STAGES, ()))
    wrong += wrong_stages
    wrong += faults_in_stages(merged, stages, lambda over: _sections(over, check)[1], wrong)
    wrong += [*unpaired_keys(merged, stages), *clashing_keys(merged, stages)]
    if found := [_with_origin(fault, merged) for fault in (*faults, *wrong)]:
        raise ProfileError(found)
    profile = Profile.model_validate({**sections, STAGES: stages})
    profile._origins.update(merged.origins)
    return profile


def _sections(merged: Merged, check: Collection[str]) -> tuple[dict[str, Section], list[Fault]]:
    """Every section by the name of its table, and what is wrong with them."""
    found, sections, completer, types = list[Fault](), dict[str, Section](), Completer(check), section_types()
    for name, section_type in types.items():
        try:
            sections[name] = completer.section(section_type.model_validate(merged.table.get(name, {})), name)
        except ValidationError as error:
            found += [_value_fault(name, item) for item in error.errors(include_url=False)]
    names = (*types, STAGES)
    found += [
        Fault(name, "unknown table", suggestion=nearest_key(name, names)) for name in merged.table if name not in names
    ]
    return sections, [*found, *completer.faults]


def at_stage(profile: Profile, number: int) -> Profile:
    """The profile of one of its stages, from 0 on; without stages it is the profile itself."""
    if not profile.stages:
        return profile
    sections, faults = _sections(laid_over(profile.model_dump(), profile.stages[number]), ())
    if faults:
        raise ProfileError(faults)
    return profile.model_copy(update=sections)


def _value_fault(section: str, error: Any) -> Fault:
    key = ".".join((section, *map(str, error["loc"])))
    suggestion = nearest_key(key, known_keys()) if error["type"] == "extra_forbidden" else ""
    return Fault(key, describe_fault(error), suggestion=suggestion)


def _with_origin(fault: Fault, merged: Merged) -> Fault:
    if fault.origin or not fault.key:
        return fault
    inside = [origin for key, origin in merged.origins.items() if key.startswith(f"{fault.key}.")]
    origin = inside[-1] if inside else find_origin(merged.origins, fault.key)
    return Fault(fault.key, fault.message, origin, fault.suggestion)
