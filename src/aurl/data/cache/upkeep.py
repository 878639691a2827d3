"""What is done to a cache now and then: bring index and folder together, trim, check."""

from contextlib import suppress
from pathlib import Path

from aurl.data.cache.index import CacheIndex, Facts
from aurl.data.cache.result import CacheCheck, CacheStats, Damage, RecipeStats, Trimmed, fault_in
from aurl.data.cache.shelf import Shelf, facts_of
from aurl.errors import DamagedError
from aurl.progress import Interrupts, Progress, Report
from aurl.storage import remove_leftovers


def take(index: CacheIndex, shelf: Shelf, path: Path, facts: Facts) -> None:
    """Take in a shard.

    One of the same name stays if it is whole and holds as much: files that could not be read leave a gap.
    """
    with index.transaction():
        held = _facts_of_whole(shelf.path(path.stem))
        if held is None or held.signature != facts.signature or not held.contents >= facts.contents:
            shelf.put(path)
            held = facts
        if index.facts(path.stem) == held:
            index.mark(path.stem)
        else:
            index.add(path.stem, held)


def _facts_of_whole(path: Path) -> Facts | None:
    with suppress(DamagedError):
        return facts_of(path)
    return None


def drop(index: CacheIndex, shelf: Shelf, name: str) -> None:
    """Remove a shard."""
    with index.transaction():
        shelf.remove(name)
        index.drop([name])


def tidy(index: CacheIndex, shelf: Shelf) -> None:
    """Finish what killed processes began."""
    with index.transaction():
        remove_leftovers(shelf.folder)
        known, there = set(index.names()), {path.stem for path in shelf.paths()}
        index.drop(known - there)
        for name in sorted(there - known):
            if facts := _facts_of_whole(shelf.path(name)):
                index.add(name, facts)
            else:
                shelf.remove(name)


def prune(index: CacheIndex, shelf: Shelf, max_bytes: int) -> Trimmed:
    """Remove the longest unused of the shards that only the cache has, until they are no larger than `max_bytes`.

    Files leave before anything is written: on a full disk that is what makes room.
    """
    removed: list[int] = []
    with index.transaction():
        remove_leftovers(shelf.folder)
        own = {name: size for name, (size, shared) in shelf.sizes().items() if not shared}
        too_much = sum(own.values()) - max_bytes
        known = [name for name in index.names() if name in own]
        for name in (*sorted(own.keys() - known), *known):
            if sum(removed) >= too_much:
                break
            shelf.remove(name)
            index.drop([name])
            removed.append(own[name])
    tidy(index, shelf)
    return Trimmed(len(removed), sum(removed))


def clear(index: CacheIndex, shelf: Shelf) -> Trimmed:
    """Remove everything."""
    with index.transaction():
        remove_leftovers(shelf.folder)
        sizes = shelf.sizes()
        index.drop(index.names())
        for name in sizes:
            shelf.remove(name)
    return Trimmed(len(sizes), sum(size for size, shared in sizes.values() if not shared))


def stats(index: CacheIndex, shelf: Shelf, *, max_bytes: int) -> CacheStats:
    """What the cache holds."""
    sizes, recipes = shelf.sizes(), dict[str, RecipeStats]()
    for name, (signature, contents, used_at) in reversed(index.uses().items()):
        if name in sizes:
            so_far = recipes.get(signature, RecipeStats(signature, 0, 0, 0, used_at))
            recipes[signature] = RecipeStats(
                signature,
                so_far.shards + 1,
                so_far.bytes + sizes[name][0],
                so_far.contents + contents,
                so_far.used_at,
            )
    own = [size for size, shared in sizes.values() if not shared]
    shared = [size for size, shared in sizes.values() if shared]
    return CacheStats(
        shelf.folder.parent, max_bytes, len(own), sum(own), len(shared), sum(shared), tuple(recipes.values())
    )


def check(index: CacheIndex, shelf: Shelf, *, repair: bool, report: Report, interrupts: Interrupts) -> CacheCheck:
    """Read every shard, and compare the index with it."""
    damage: list[Damage] = []
    paths, done = shelf.paths(), 0
    for done, path in enumerate(paths, 1):
        if found := _check_shard(index, shelf, path, repair=repair):
            damage.append(found)
        report(Progress("verify the token cache", done, len(paths), "shards"))
        if interrupts.stop is not None:
            break
    return CacheCheck(done, tuple(damage))


def _check_shard(index: CacheIndex, shelf: Shelf, path: Path, *, repair: bool) -> Damage | None:
    try:
        facts = facts_of(path)
    except DamagedError as error:
        if not path.exists():  # another process has trimmed the cache just now
            return None
        if repair:
            drop(index, shelf, path.stem)
        return Damage(path, fault_in(path, error), "removed: it can be computed again" if repair else "")
    known = index.facts(path.stem)
    if known is None or known == facts:
        return None
    if repair:
        with index.transaction():
            index.add(path.stem, facts)
    return Damage(path, "the index tells something else of it", "the index was put right" if repair else "")
