"""The end of a run: index, audit and manifest, in the order in which a kill in between does no harm."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import aurl
from aurl.data import audit
from aurl.data.assign import Content, Rules, assign, leading_order
from aurl.data.assignments import Assignment, clear_assignments, write_assignments
from aurl.data.audit_page import NAME as PAGE_NAME
from aurl.data.audit_page import audit_page
from aurl.data.encode import Recipe
from aurl.data.fingerprint import FINGERPRINT_SIZE
from aurl.data.index import Index
from aurl.data.inputs import Source
from aurl.data.manifest import SHARDS, Manifest, ShardEntry, generation_of, shard_path, write_manifest
from aurl.data.records import Record
from aurl.data.shards import SUFFIX, Shard
from aurl.profile import Profile
from aurl.storage import write_text


@dataclass(frozen=True)
class Commit:
    """What becomes of the data set.

    Args:
        folder: of the data set.
        profile: it was made by.
        recipe: it was made by.
        old: what it was before.
        kept: shards that stay.
        new: name → SHA-256 of shards that join.
        rules: how contents are assigned to splits.
        before: SHA-256 → how they were assigned until now.
    """

    folder: Path
    profile: Profile
    recipe: Recipe
    old: Manifest | None
    kept: Sequence[ShardEntry]
    new: Mapping[str, str]
    rules: Rules
    before: Mapping[str, Assignment]

    def run(
        self,
        index: Index,
        identified: Iterable[tuple[Source, bytes]],
        refused: Sequence[Record],
        *,
        files: int,
        listing: str,
    ) -> dict[str, Any]:
        """Write everything and clear away what no data set needs.

        Args:
            index: of the data set.
            identified: every file that could be read, and the SHA-256 of its content.
            refused: records of the others.
            files: that were found.
            listing: hash over them; empty if it does not tell whether they have changed.

        Returns:
            The audit.
        """
        with index.transaction():
            index.drop(self._before() - {entry.name for entry in self.kept})
            for name in self.new:
                index.add(name, Shard(shard_path(self.folder, name)))
            index.set_files(identified)
            assignments = self._assign(index)
            index.set_assignments(assignments)
            entries = self._entries(index.live_rows())
            index.drop(self.new.keys() - {entry.name for entry in entries})
            manifest = self._manifest(entries, listing, write_assignments(self.folder, assignments))
            index.set_about(generation=manifest.generation)
        counted = audit.audit(index, self.folder, entries, files=files, refused=refused)
        audit.write(self.folder, counted)
        write_text(self.folder / PAGE_NAME, audit_page(counted, title=self.folder.name))
        write_manifest(self.folder, manifest)
        self._clear({entry.name for entry in entries} | self._before())
        clear_assignments(self.folder, {manifest.assignments, self.old.assignments if self.old else ""})
        return counted

    def _assign(self, index: Index) -> list[Assignment]:
        """The assignment of everything that is live."""
        live = index.contents()
        contents = [Content(sha256.hex(), source) for sha256, source, _, _ in live]
        order = leading_order(contents, self.before)
        found = assign([contents[at] for at in order], self._fingerprints(live, order), self.rules, self.before)
        # The file that is written must not depend on what was known before.
        return sorted(found, key=attrgetter("sha256"))

    def _fingerprints(self, live: Sequence[tuple[bytes, str, str, int]], order: Sequence[int]) -> NDArray[np.uint32]:
        """(contents, FINGERPRINT_SIZE) in the given order, read shard by shard."""
        prints = np.empty((len(live), FINGERPRINT_SIZE), np.uint32)
        rank = np.empty(len(live), np.int64)
        rank[order] = np.arange(len(live))
        at = 0
        for name, rows in groupby(live, key=itemgetter(2)):
            found = Shard(shard_path(self.folder, name)).fingerprints[[row for *_, row in rows]]
            prints[rank[at : at + len(found)]] = found
            at += len(found)
        return prints

    def _before(self) -> set[str]:
        return {entry.name for entry in self.old.shards} if self.old else set()

    def _entries(self, live: Mapping[str, set[int]]) -> list[ShardEntry]:
        """Shards with something live in them, by name."""
        known = {entry.name: entry for entry in self.kept}
        entries = [known.get(name) or self._new_entry(name) for name in sorted(known.keys() | self.new.keys())]
        return [
            entry.model_copy(update={"removed": tuple(sorted(set(range(entry.records)) - live[entry.name]))})
            for entry in entries
            if live.get(entry.name)
        ]

    def _new_entry(self, name: str) -> ShardEntry:
        shard = Shard(shard_path(self.folder, name))
        return ShardEntry(
            name=name,
            sha256=self.new[name],
            bytes=shard.bytes,
            pieces=len(shard),
            records=shard.record_count,
            tokens=len(shard.ids),
        )

    def _manifest(self, entries: Iterable[ShardEntry], listing: str, assignments: str) -> Manifest:
        content = {
            "created_with": aurl.__version__,
            "signature": self.recipe.signature,
            "codec": json.loads(self.recipe.codec),
            "prepare": self.profile.prepare.model_dump(mode="json"),
            "tokens": self.profile.tokens.model_dump(mode="json"),
            "listing": listing,
            "assignments": assignments,
            "shards": [entry.model_dump(mode="json") for entry in entries],
        }
        return Manifest(generation=generation_of(content), **content)

    def _clear(self, needed: set[str]) -> None:
        """Delete shards of neither this data set nor the one before it, which a training run may still be reading."""
        for path in (self.folder / SHARDS).glob(f"*{SUFFIX}"):
            if path.stem not in needed:
                path.unlink()
        for path in (self.folder / SHARDS).glob(".*.tmp"):
            path.unlink()
