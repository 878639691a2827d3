"""Name → factory. A factory's typed keyword-only arguments are its options in a profile.

A registry lives in the module of its kind (`aurl.model.attention` holds `ATTENTION`); this module knows only where,
so that a profile can be checked, and its documentation printed, without importing what it does not use.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, TypeVar, cast, get_type_hints

from aurl.errors import UsageError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

HOMES = {
    "attention": ("aurl.model.attention", "ATTENTION"),
    "augment": ("aurl.augment", "AUGMENT"),
    "balancing": ("aurl.loss.balancing", "BALANCERS"),
    "clipping": ("aurl.training.clipping", "CLIPPING"),
    "constraint": ("aurl.generation.constraints", "CONSTRAINTS"),
    "curriculum": ("aurl.data.curriculum", "CURRICULUM"),
    "filter": ("aurl.generation.sampling", "FILTERS"),
    "kl_schedule": ("aurl.loss.schedules", "KL_SCHEDULES"),
    "loss": ("aurl.loss.kinds", "LOSSES"),
    "optimizer": ("aurl.training.optim", "OPTIMIZERS"),
    "preprocess": ("aurl.preprocess", "PREPROCESS"),
    "prior": ("aurl.model.prior", "PRIORS"),
    "reconstruction": ("aurl.loss.weighting", "WEIGHTINGS"),
    "schedule": ("aurl.training.schedules", "SCHEDULES"),
    "split": ("aurl.data.splits", "SPLITS"),
    "truncation": ("aurl.data.truncation", "TRUNCATION"),
}
"""Registry name → (module, attribute)."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a kind.

    Args:
        name: as a profile spells it.
        annotation: its type, with `Annotated` bounds.
        default: `inspect.Parameter.empty` where it is required.
    """

    name: str
    annotation: Any
    default: Any


class Registry(Generic[T]):
    """The kinds of one family of components.

    Args:
        name: what a profile calls the family; a key of `HOMES`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._factories: dict[str, Callable[..., T]] = {}
        self._modes: dict[str, str] = {}

    def register(self, kind: str, *, mode: str = "transformer") -> Callable[[F], F]:
        """Add the decorated factory under `kind`; a second factory of the same name is an error in the program.

        Args:
            kind: as a profile spells it.
            mode: of the model, the first in which this kind means anything.
        """

        def add(factory: F) -> F:
            if kind in self._factories:
                raise ValueError(f"{self.name} kind {kind!r} is registered twice")
            self._factories[kind] = factory
            self._modes[kind] = mode
            return factory

        return add

    def kinds(self) -> tuple[str, ...]:
        """All kinds, sorted."""
        return tuple(sorted(self._factories))

    def mode(self, kind: str) -> str:
        """The first mode of the model in which `kind` means anything."""
        self.factory(kind)
        return self._modes[kind]

    def factory(self, kind: str) -> Callable[..., T]:
        """The factory of `kind`.

        Raises:
            UsageError: there is no such kind.
        """
        try:
            return self._factories[kind]
        except KeyError:
            raise UsageError(f"unknown {self.name} kind {kind!r}", hint=f"known: {', '.join(self.kinds())}") from None

    def options(self, kind: str) -> tuple[Option, ...]:
        """The options of `kind`: the keyword-only parameters of its factory."""
        factory = self.factory(kind)
        hints = get_type_hints(factory, include_extras=True)
        parameters = inspect.signature(factory).parameters.values()
        return tuple(Option(p.name, hints.get(p.name, Any), p.default) for p in parameters if p.kind is p.KEYWORD_ONLY)

    def summary(self, kind: str) -> str:
        """First line of the factory's docstring."""
        return (inspect.getdoc(self.factory(kind)) or "").partition("\n")[0]

    def build(self, kind: str, *given: Any, **options: Any) -> T:
        """Call the factory of `kind` with what the code gives and what the profile says."""
        return self.factory(kind)(*given, **options)

    def from_component(self, component: Mapping[str, Any], *given: Any) -> T:
        """Build from a profile's `{kind = "…", option = …}`."""
        options = dict(component)
        return self.build(options.pop("kind"), *given, **options)


def find_registry(name: str) -> Registry[Any]:
    """The registry called `name`, importing the module that holds it."""
    module, attribute = HOMES[name]
    return cast("Registry[Any]", getattr(import_module(module), attribute))
