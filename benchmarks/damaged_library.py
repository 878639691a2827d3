"""What `prepare` makes of damaged libraries: `python -m benchmarks.damaged_library MIDI… --notation FOLDER --seed 0`.

Writes damaged MIDI files, written music and archives into a folder of its own and prepares it as any library, in
worker processes under their usual limits. Every file must be accounted for, by an account that is made here; every
rejection has a known reason, and none is a crash; every piece follows the grammar and decodes to the notes that its
record counts. The parent's peak memory and the longest time for one file are told. Anything else is a failure, and
the exit status is 1; `--keep` names a new folder for the files and the data set, to look at afterwards.
"""

import argparse
import hashlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
from benchmarks.damage import Damage

from aurl.data.dataset import DatasetInfo, open_dataset
from aurl.data.inputs import default_spool, find, read_source
from aurl.data.prepare import prepare
from aurl.data.records import note_count
from aurl.data.result import PrepareResult
from aurl.data.shards import Ids
from aurl.data.splits import SPLIT_NAMES
from aurl.data.workers.worker import NO_FILE, read_mark
from aurl.midi.clock import seconds_at
from aurl.midi.reasons import Rejected, RejectReason
from aurl.profile import Profile, load_profile
from aurl.tokens.grammar import Grammar
from aurl.tokens.maps import Maps

STREAMS = 64
"""Pieces that walk through the grammar at the same time."""
ROUNDING_SECONDS = 1.0
"""More than half a step of 1/32 beat at 4 BPM."""
WATCH_SECONDS = 0.1
MEBIBYTE = 2**20


class Watch:
    """The longest time that any worker has been at one file, as their marks tell."""

    def __init__(self, folder: Path) -> None:
        self.seconds = 0.0
        self._folder = folder
        self._over = Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look now and then, beside what is done in this context."""
        thread = Thread(target=self._look)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _look(self) -> None:
        while not self._over.wait(WATCH_SECONDS):
            for mark in self._folder.rglob(".*.tmp"):
                try:
                    begun = mark.stat().st_mtime
                except OSError:
                    continue
                if read_mark(mark) != NO_FILE:
                    self.seconds = max(self.seconds, time.time() - begun)


def accounted(library: Path, result: PrepareResult, profile: Profile) -> list[str]:
    """What is wrong with the counts of a run, by hashing every file once more."""
    limit = int(profile.prepare.max_file_mb * MEBIBYTE)
    found = find([library], spool=default_spool(), max_bytes=limit)
    contents, unread = set(), len(found.refused)
    for source in found.sources:
        try:
            data = read_source(source.path, limit + 1)
        except (Rejected, OSError):
            unread += 1
        else:
            contents.add(hashlib.sha256(data).digest())
    wrong = []
    if result.files != found.total:
        wrong.append(f"{found.total} files were found, {result.files} were told")
    if result.files != result.prepared + result.rejected + result.duplicates + result.left_out:
        wrong.append("files are missing from the account")
    at_least = len(contents) + unread
    if not at_least <= result.prepared + result.rejected + result.left_out <= found.total:
        wrong.append(f"{result.prepared} prepared and {result.rejected} rejected of {at_least} contents")
    if unknown := set(result.rejects) - {str(reason) for reason in RejectReason}:
        wrong.append(f"unknown reasons: {sorted(unknown)}")
    if crashes := result.rejects.get(RejectReason.CRASH):
        wrong.append(f"{crashes.files} crashes, such as {crashes.examples}")
    return wrong


def legal(dataset: DatasetInfo) -> list[str]:
    """What is wrong with the pieces of a data set."""
    wrong, grammar = [], Grammar.of(dataset.codec)
    for split in SPLIT_NAMES:
        pieces, records = list(dataset.pieces(split)), list(dataset.records(split))
        for ids, record in zip(pieces, records, strict=True):
            score = dataset.codec.decode(ids, Maps.from_json(record.maps))
            if not score.note_count == note_count(ids) == record.notes > 0 or record.tokens != len(ids):
                wrong.append(f"{record.source}: {record.notes} notes in the record, {score.note_count} decoded")
            if not 0 < (seconds := float(seconds_at(score, score.end_tick))) <= record.seconds + ROUNDING_SECONDS:
                wrong.append(f"{record.source}: {record.seconds} seconds in the record, {seconds} decoded")
        order = sorted(range(len(pieces)), key=lambda number: len(pieces[number]))
        for start in range(0, len(order), STREAMS):
            some = order[start : start + STREAMS]
            wrong += [
                f"{records[some[at]].source}: {fault}" for at, fault in faults([pieces[n] for n in some], grammar)
            ]
    return wrong


def faults(pieces: Sequence[Ids], grammar: Grammar) -> Iterator[tuple[int, str]]:
    """Number and fault of each piece that the grammar forbids, all at once: `Grammar.check` takes 20 µs an id."""
    state, alive = grammar.start(len(pieces)), np.arange(len(pieces))
    for position in range(max(map(len, pieces))):
        on = np.array([len(pieces[number]) > position for number in alive])
        if not on.all():
            state, alive = state.take(on), alive[on]
        chosen = np.array([pieces[number][position] for number in alive], np.int64)
        allowed = grammar.mask(state)[np.arange(len(alive)), chosen]
        if not allowed.all():
            for number in alive[~allowed]:
                yield int(number), str(grammar.check(pieces[number])[0])
            state, alive, chosen = state.take(allowed), alive[allowed], chosen[allowed]
        grammar.advance(state, chosen.tolist())


def measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Damage, prepare and check one library."""
    library, dataset = folder / "library", folder / "dataset"
    damage = Damage(options.midi, options.notation, seed=options.seed)
    damage.write(library, options.count, notation=options.notation_share, archives=options.archive_share)
    profile, watch = load_profile(overrides=options.set, check={"preprocess", "split"}), Watch(dataset)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with watch.watching():
        result = prepare([library], profile, dataset, jobs=options.jobs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    failures = accounted(library, result, profile) + legal(open_dataset(dataset))
    counts = ("files", "prepared", "pieces", "rejected", "duplicates", "left_out", "tokens")
    return {
        "seed": options.seed,
        **{name: getattr(result, name) for name in counts},
        "seconds": round(result.seconds, 1),
        "slowest_file_seconds": round(watch.seconds, 1),
        "parent_mib_before": before // 1024,
        "parent_peak_mib": peak // 1024,
        "rejects": {reason: reject.files for reason, reject in result.rejects.items()},
        "repairs": {name: repair.pieces for name, repair in result.repairs.items()},
        "failures": failures,
    }


def main() -> int:
    """Run, print one JSON object, and say by the exit status whether all went well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("midi", type=Path, nargs="+", help="folders of MIDI files")
    parser.add_argument("--notation", type=Path, required=True, help="folder of MusicXML, MXL, ABC and **kern")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--notation-share", type=float, default=0.05)
    parser.add_argument("--archive-share", type=float, default=0.05)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the profile")
    parser.add_argument("--keep", type=Path, help="new folder for library and data set")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["AURL_CACHE"] = str(Path(temporary, "cache"))  # copies of what archives hold
        found = measured(options.keep or Path(temporary), options)
    print(json.dumps(found, indent=2))
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
