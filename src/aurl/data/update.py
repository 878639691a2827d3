"""One run of `prepare` under the data set's lock: look, plan, encode, commit."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aurl.data.assign import Rules
from aurl.data.assignments import Assignment
from aurl.data.borrow import borrow, put_away
from aurl.data.cache import TokenCache
from aurl.data.commit import Commit
from aurl.data.encode import Recipe, Wanted, encode_shard
from aurl.data.identify import Identified, identify
from aurl.data.index import Index, Place
from aurl.data.inputs import Found, Source
from aurl.data.manifest import SHARDS, Manifest, ShardEntry, shard_path
from aurl.data.plan import Kept, Plan, keep, make_plan
from aurl.data.records import Record
from aurl.data.workers.engine import Workers, open_engine
from aurl.midi.reasons import RejectReason
from aurl.profile import Profile
from aurl.progress import Interrupts, Progress, Report
from aurl.storage import remove_leftovers, sha256_file, sync_file, sync_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Updated:
    """What a run did.

    Args:
        audit: of the data set; None if the run was interrupted.
        new: contents encoded.
        reused: contents that were there.
        removed: contents that are gone.
    """

    audit: dict[str, Any] | None
    new: int
    reused: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Shards (name → SHA-256) and files that could not be read."""

    shards: dict[str, str]
    refused: list[Record]
    files: int
    complete: bool


@dataclass(frozen=True)
class Update:
    """What a run works with; see `aurl.data.prepare.prepare`."""

    folder: Path
    profile: Profile
    recipe: Recipe
    rules: Rules
    jobs: int
    scheduler: str | None
    cache: TokenCache | None
    report: Report
    interrupts: Interrupts

    def run(
        self, old: Manifest | None, before: Mapping[str, Assignment], found: Found, listing: str, listed_ns: int
    ) -> Updated:
        """Bring the data set up to date.

        Args:
            old: what it is now, None if nothing in it is of use.
            before: how its contents were assigned to splits.
            found: what it is to hold.
            listing: hash that is equal while nothing of it has changed.
            listed_ns: wall clock when they were listed.
        """
        (self.folder / SHARDS).mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.folder / SHARDS)
        with self._engine() as engine, Index.open(self.folder) as index:
            shards = index.follow(self.folder, old)
            identified = self._identify(index, found.sources, listed_ns)
            if not identified.complete:
                return Updated(None, 0)
            wanted = _by_content(identified)
            places = index.places()
            kept = self._keep(places, wanted, shards, old)
            encoded = self._encode(engine, self._plan(wanted, kept, old))
            if not encoded.complete:
                return Updated(None, encoded.files)
            engine.end()
            commit = Commit(
                self.folder, self.profile, self.recipe, old, kept.shards, encoded.shards, self.rules, before
            )
            counted = self._commit(commit, index, found, identified, encoded.refused, listing)
        if self.cache:
            made = (shard_path(self.folder, name) for name in encoded.shards)
            put_away(self.cache, [path for path in made if path.exists()])  # those with nothing in them are gone
        removed = len(places.keys() - wanted.keys())
        return Updated(counted, encoded.files, len(wanted) - encoded.files, removed)

    @contextmanager
    def _engine(self) -> Iterator[Workers]:
        """Workers, which import what they need while files are looked at."""
        section = self.profile.prepare
        with open_engine(
            jobs=self.jobs,
            folder=self.folder / SHARDS,
            timeout_seconds=section.timeout_seconds,
            memory_mb=section.memory_mb,
            scheduler=self.scheduler,
        ) as engine:
            engine.warm_up()
            yield engine

    def _identify(self, index: Index, sources: Sequence[Source], listed_ns: int) -> Identified:
        return identify(
            sources,
            index.files(),
            listed_ns=listed_ns,
            max_bytes=self.recipe.max_bytes,
            report=self.report,
            interrupts=self.interrupts,
        )

    def _keep(
        self, places: Mapping[bytes, Place], wanted: Collection[bytes], shards: list[ShardEntry], old: Manifest | None
    ) -> Kept:
        section = self.profile.prepare
        retry = old is not None and old.limits != (section.timeout_seconds, section.memory_mb)
        return keep(places, wanted, shards, shard_tokens=section.shard_tokens, retry=retry)

    def _plan(self, wanted: Mapping[bytes, Source], kept: Kept, old: Manifest | None) -> Plan:
        finished = {sha256: str(shard_path(self.folder, name)) for sha256, name in kept.finished.items()}
        missing = wanted.keys() - kept.good
        if self.cache and (unknown := missing - finished.keys()):
            finished |= borrow(self.cache, self.recipe.signature, unknown, self.folder)
        left = [
            Wanted(source.path, sha256.hex(), source.size, finished.get(sha256, ""))
            for sha256, source in wanted.items()
            if sha256 in missing
        ]
        known = {entry.name for entry in old.shards} if old else set()
        tokens = self.profile.prepare.shard_tokens
        return make_plan(left, self.recipe, folder=self.folder, shard_tokens=tokens, known=known)

    def _encode(self, engine: Workers, plan: Plan) -> _Encoded:
        """Make the planned shards; those of an earlier run count as made."""
        shards = {name: sha256_file(shard_path(self.folder, name)) for name in plan.ready}
        total = sum(len(task.sources) for task in plan.tasks)
        refused: list[Record] = []
        files = copied = tasks = 0
        with ThreadPoolExecutor(1) as disk:  # waiting for the disk must not hold up the workers
            synced = [disk.submit(sync_file, shard_path(self.folder, name)) for name in shards]
            for task, written in engine.run(plan.tasks, encode_shard, self.interrupts):
                shards[written.name] = written.sha256
                synced.append(disk.submit(sync_file, shard_path(self.folder, written.name)))
                refused += written.transient
                files += len(task.sources)
                copied += written.copied
                tasks += 1
                self.report(Progress("prepare", files, total, "files"))
            for flushed in synced:
                flushed.result()
        sync_folder(self.folder / SHARDS)
        return _Encoded(shards, refused, files - copied, complete=tasks == len(plan.tasks))

    def _commit(
        self,
        commit: Commit,
        index: Index,
        found: Found,
        identified: Identified,
        unencoded: Sequence[Record],
        listing: str,
    ) -> dict[str, Any]:
        """Make the result the data set; returns its audit."""
        unread = (*identified.refused, *unencoded)
        settled = identified.settled and all(record.reason != RejectReason.UNREADABLE for record in unread)
        refused = [Record(path, "", reason=reason, fault=fault) for path, reason, fault in found.refused]
        listing = listing if settled else ""
        return commit.run(index, identified.files, (*refused, *unread), files=found.total, listing=listing)


def _by_content(identified: Identified) -> dict[bytes, Source]:
    """Content → its first file, in order of path."""
    wanted: dict[bytes, Source] = {}
    for source, sha256 in identified.files:
        wanted.setdefault(sha256, source)
    return wanted
