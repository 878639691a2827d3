"""A damaged data set is made whole again, from what is whole: the token cache, its other files, its source files.

What can be had byte for byte is had so: a shard from the cache or by encoding its files once more, the index from the
shards, the assignments from the index. The rest is left to `prepare`, which brings the data set to what its files are
now. Pieces that are damaged here and whose files are gone are lost then. `prepare` is not called where that would cost
pieces that are whole: a disk that is not mounted must not empty a data set.
"""

from collections import Counter
from collections.abc import Collection, Container, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from aurl.data import audit, index
from aurl.data.assignments import Assignment, history
from aurl.data.cache import TokenCache
from aurl.data.cache.result import Damage
from aurl.data.cache.shelf import Shelf, whole_shards
from aurl.data.inputs import default_spool, find
from aurl.data.manifest import NAME, Manifest, ShardEntry, read_manifest, shard_path
from aurl.data.prepare import LOCK, prepare, recipe_of, usable_cores
from aurl.data.remake import (
    assignments_of_index,
    from_cache,
    from_sources,
    remake_assignments,
    remake_index,
    remove_index,
)
from aurl.data.verify import DatasetCheck, Findings, look
from aurl.errors import AurlError, LockedError
from aurl.home import SOURCES_NAME
from aurl.profile import Prepare, Profile, Tokens, load_profile
from aurl.progress import Interrupts, Report, silent
from aurl.storage import lock, read_json

FROM_CACHE = "replaced from the token cache"
ENCODED = "encoded again"
REBUILT = "made again"
PREPARED = "prepared again"


@dataclass
class Repair:
    """The repair of one data set.

    Args:
        folder: of the data set.
        cache: where whole shards may be, if there is one.
        jobs: worker processes.
        report: told of progress.
        interrupts: looked at between shards.
    """

    folder: Path
    cache: TokenCache | None = None
    jobs: int = field(default_factory=usable_cores)
    report: Report = silent
    interrupts: Interrupts = field(default_factory=Interrupts)

    def run(self) -> DatasetCheck:
        """Check the data set and mend what can be mended; damage that is not said to be mended is still there."""
        try:
            with lock(self.folder / LOCK):
                found = self._look()
                if not found.faults:
                    return DatasetCheck(self.folder, found.shards)
                mended = self._remake(found)
            left = found.faults.keys() - mended.keys()
            stopped = self.interrupts.stop is not None
            lost, hindrance = self._prepare(found.manifest, left) if left and not stopped else ((), "")
            with lock(self.folder / LOCK):
                again = self._look()
            still = again.faults if self.interrupts.stop is None else {path: found.faults[path] for path in left}
        except LockedError as error:
            return DatasetCheck(self.folder, 0, locked=error.message)
        before = {path: fault for path, fault in found.faults.items() if path not in still}
        damage = [Damage(path, fault, mended.get(path, PREPARED)) for path, fault in before.items()]
        damage += [Damage(path, f"{fault}; {hindrance}" if hindrance else fault) for path, fault in still.items()]
        return DatasetCheck(self.folder, found.shards, tuple(damage), lost)

    def _look(self) -> Findings:
        return look(self.folder, report=self.report, interrupts=self.interrupts)

    def _remake(self, found: Findings) -> dict[Path, str]:
        """Make files again byte for byte; returns those that could be, and how."""
        if found.manifest is None:
            return {}
        manifest = found.manifest
        mended: dict[Path, str] = {}
        for entry in self._damaged(found, mended):
            if self.cache and from_cache(self.folder, entry, self.cache):
                mended[shard_path(self.folder, entry.name)] = FROM_CACHE
        rest, profile = self._damaged(found, mended), self._profile(manifest.signature)
        if rest and profile:
            recipe = recipe_of(profile)
            made = from_sources(self.folder, rest, manifest, recipe, jobs=self.jobs, interrupts=self.interrupts)
            mended |= {shard_path(self.folder, name): ENCODED for name in made}
            self._keep(made)
        told, listed = self.folder / manifest.assignments, self.folder / index.NAME
        if told in found.faults and listed not in found.faults and remake_assignments(self.folder, manifest):
            mended[told] = REBUILT
        if listed in found.faults and not self._damaged(found, mended) and remake_index(self.folder, manifest):
            mended[listed] = REBUILT
        return mended

    def _keep(self, names: Collection[str]) -> None:
        """Give shards to the cache, where other data sets that have lost the same ones find them."""
        with suppress(AurlError):
            for name in names:
                if self.cache:
                    self.cache.add(shard_path(self.folder, name))

    def _damaged(self, found: Findings, mended: Container[Path]) -> list[ShardEntry]:
        """Shards that are damaged still."""
        entries = found.manifest.shards if found.manifest else ()
        paths = [(shard_path(self.folder, entry.name), entry) for entry in entries]
        return [entry for path, entry in paths if path in found.faults and path not in mended]

    def _prepare(self, manifest: Manifest | None, left: Set[Path]) -> tuple[tuple[str, ...], str]:
        """Bring the data set to what its files are now; returns what is lost, and what hindered it."""
        whole = [facts for path, facts in whole_shards(Shelf(self.folder)) if path not in left]
        signature = manifest.signature if manifest else _commonest([facts.signature for facts in whole])
        sources, profile = self._sources(), self._profile(signature)
        if not sources or not profile:
            return (), f"{'its settings' if sources else 'what it was made from'} cannot be told"
        before = self._before(manifest)
        kept = frozenset().union(*(facts.contents for facts in whole))
        gone = [one.source for one in before.values() if bytes.fromhex(one.sha256) in kept and _is_gone(one.source)]
        if gone:
            return (), f"{len(gone):,} pieces that are whole would be lost, too: their files are gone, as {gone[0]}"
        try:
            find(sources, spool=default_spool(), max_bytes=recipe_of(profile).max_bytes)  # or there is nothing to go by
            for path in (*left, self.folder / audit.NAME):  # what is missing is made again
                path.unlink(missing_ok=True)
            if self.folder / index.NAME in left:
                remove_index(self.folder)
            prepare(sources, profile, self.folder, jobs=self.jobs, report=self.report, interrupts=self.interrupts)
            after = history(self.folder, read_manifest(self.folder).assignments)
        except AurlError as error:
            return (), error.message
        return tuple(sorted(one.source for sha256, one in before.items() if sha256 not in after)), ""

    def _before(self, manifest: Manifest | None) -> Mapping[str, Assignment]:
        """SHA-256 → what each content was to the data set, as far as that is known."""
        if manifest:
            return history(self.folder, manifest.assignments)
        told = {one.sha256: one for one in assignments_of_index(self.folder)}
        return told or history(self.folder, None)

    def _profile(self, signature: str) -> Profile | None:
        """The settings that make shards of this signature: the manifest's, or else those that hold by default."""
        for candidate in (self._settings, lambda: load_profile(check=("preprocess", "split"))):
            with suppress(AurlError, ValidationError, KeyError, TypeError):
                profile = candidate()
                if recipe_of(profile).signature == signature:
                    return profile
        return None

    def _settings(self) -> Profile:
        told = read_json(self.folder / NAME)
        return Profile(prepare=Prepare.model_validate(told["prepare"]), tokens=Tokens.model_validate(told["tokens"]))

    def _sources(self) -> list[str]:
        """What the data set was made from, as the command line keeps it; empty if that is not known."""
        with suppress(AurlError):
            told = read_json(self.folder / SOURCES_NAME)
            if isinstance(told, list) and all(isinstance(path, str) for path in told):
                return told
        return []


def _commonest(signatures: Sequence[str]) -> str:
    return Counter(signatures).most_common(1)[0][0] if signatures else ""


def _is_gone(path: str) -> bool:
    """Whether a file, or the archive that it is in, is not there; of what is elsewhere that cannot be told."""
    return "://" not in path and not Path(path.partition("!/")[0]).exists()
