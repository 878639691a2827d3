"""The end of a run: index, audit and manifest, in the order in which a kill in between does no harm."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aurl
from aurl.data import audit
from aurl.data.corpus import Source, listing_digest
from aurl.data.encode import Recipe
from aurl.data.identify import Identified
from aurl.data.index import Index
from aurl.data.manifest import SHARDS, Manifest, ShardEntry, shard_path, write_manifest
from aurl.data.records import Record
from aurl.data.shards import SUFFIX, Shard
from aurl.data.splits import Split
from aurl.profile import Profile


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
    """

    folder: Path
    profile: Profile
    recipe: Recipe
    old: Manifest | None
    kept: Sequence[ShardEntry]
    new: Mapping[str, str]

    def run(
        self, index: Index, split: Split, found: Identified, refused: Sequence[Record], sources: Sequence[Source]
    ) -> dict[str, Any]:
        """Write everything and clear away what no data set needs; returns the audit."""
        with index.transaction():
            index.drop(self._before() - {entry.name for entry in self.kept})
            for name in self.new:
                index.add(name, Shard(shard_path(self.folder, name)), split)
            index.set_files(found.files)
            entries = self._entries(index.live_rows())
            index.drop(self.new.keys() - {entry.name for entry in entries})
            settled = found.settled and all(record.reason == "too_large" for record in refused)
            manifest = self._manifest(entries, listing_digest(sources) if settled else "")
            index.set_about(generation=manifest.generation)
        counted = audit.audit(index, self.folder, entries, files=len(sources), refused=refused)
        audit.write(self.folder, counted)
        write_manifest(self.folder, manifest)
        self._clear({entry.name for entry in entries} | self._before())
        return counted

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

    def _manifest(self, entries: Iterable[ShardEntry], listing: str) -> Manifest:
        content = {
            "created_with": aurl.__version__,
            "signature": self.recipe.signature,
            "codec": json.loads(self.recipe.codec),
            "prepare": self.profile.prepare.model_dump(mode="json"),
            "tokens": self.profile.tokens.model_dump(mode="json"),
            "listing": listing,
            "shards": [entry.model_dump(mode="json") for entry in entries],
        }
        generation = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return Manifest(generation=generation, **content)

    def _clear(self, needed: set[str]) -> None:
        """Delete shards of neither this data set nor the one before it, which a training run may still be reading."""
        for path in (self.folder / SHARDS).glob(f"*{SUFFIX}"):
            if path.stem not in needed:
                path.unlink()
        for path in (self.folder / SHARDS).glob(".*.tmp"):
            path.unlink()
