"""Which instruments a score has."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal, get_args

import numpy as np
from annotated_types import Ge, Le

from aurl.errors import UsageError, did_you_mean
from aurl.midi.instruments import FAMILIES, PROGRAM_NAMES, Family, family
from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.score import Controls, Score, Track, joined
from aurl.preprocess.collisions import apart
from aurl.preprocess.registry import PREPROCESS, Preprocessed, PreprocessStep

Mode = Literal["keep", "merge", "select"]
Together = Literal["program", "family", "all"]
Key = tuple[bool, int]


@PREPROCESS.register("instruments")
def instruments(
    *,
    mode: Mode = "keep",
    together: Together = "program",
    programs: tuple[Annotated[int, Ge(0), Le(127)] | str, ...] = (),
    families: tuple[Family, ...] = (),
) -> PreprocessStep:
    """Keep all tracks, merge those of like instruments, or select some.

    Where notes of one pitch meet in a merged track, the longest and loudest of one onset stays (`instruments_merged`),
    and one that would run into the next ends there (`instruments_cut`). `instruments_dropped` counts the notes of
    tracks that were not selected; a piece of which nothing is left is rejected.

    Args:
        mode: "keep": every track as it is; "merge": tracks become one where `together` says so; "select": only tracks
            of `programs` or `families` stay.
        together: what "merge" makes one: tracks of one "program", of one "family", or "all" pitched ones; the program
            with the most notes names them. Kits become one in any case.
        programs: for "select": General MIDI numbers from 0, or names such as "Violin".
        families: for "select": families of General MIDI such as "strings", or "drums".
    """
    for value, known in (
        (mode, get_args(Mode)),
        (together, get_args(Together)),
        *((one, FAMILIES) for one in families),
    ):
        if value not in known:
            raise ValueError(f"unknown choice {value!r}; known: {', '.join(known)}")
    if mode == "merge":
        return PreprocessStep(partial(_merged, key=_KEYS[together]))
    if mode == "select":
        wanted = frozenset(_numbers(programs)), frozenset(families)
        return PreprocessStep(partial(_selected, programs=wanted[0], families=wanted[1]))
    return PreprocessStep(Preprocessed)


def _numbers(programs: Iterable[int | str]) -> list[int]:
    """Program numbers of numbers and names, small letters or capitals."""
    names = {name.casefold(): number for number, name in enumerate(PROGRAM_NAMES)}
    for program in programs:
        if isinstance(program, str) and program.casefold() not in names:
            hint = did_you_mean(program, PROGRAM_NAMES) or "take a General MIDI name, or its number from 0 to 127"
            raise UsageError(f"unknown instrument {program!r}", hint=hint)
    return [names[program.casefold()] if isinstance(program, str) else program for program in programs]


def _selected(score: Score, *, programs: frozenset[int], families: frozenset[Family]) -> Preprocessed:
    def is_wanted(track: Track) -> bool:
        by_program = not track.is_drum and track.program in programs
        return by_program or family(track.program, is_drum=track.is_drum) in families

    kept = tuple(track for track in score.tracks if is_wanted(track))
    left = sum(len(track.notes) for track in kept)
    if not left:
        names = [*(PROGRAM_NAMES[program] for program in sorted(programs)), *sorted(families)]
        raise Rejected(RejectReason.FILTERED, f"no note of {', '.join(names) or 'any instrument'}")
    dropped = score.note_count - left
    return Preprocessed(replace(score, tracks=kept), {"instruments_dropped": dropped} if dropped else {})


def _merged(score: Score, *, key: Callable[[Track], Key]) -> Preprocessed:
    """Tracks with one key as one track, at the place of the first."""
    groups: dict[Key, list[Track]] = {}
    for track in score.tracks:
        groups.setdefault(key(track), []).append(track)
    if len(groups) == len(score.tracks):
        return Preprocessed(score)
    repairs: Counter[str] = Counter()
    tracks = []
    for group in groups.values():
        track, counts = _as_one(group)
        tracks.append(track)
        repairs.update(counts)
    return Preprocessed(replace(score, tracks=tuple(tracks)), dict(+repairs))


def _as_one(tracks: list[Track]) -> tuple[Track, dict[str, int]]:
    if len(tracks) == 1:
        return tracks[0], {}
    done = apart(joined([track.notes for track in tracks]))
    weights: Counter[int] = Counter()
    for track in tracks:
        weights[track.program] += len(track.notes)
    return replace(
        tracks[0],
        notes=done.notes,
        program=weights.most_common(1)[0][0],
        name=next((track.name for track in tracks if track.name), ""),
        controls=_all_controls(tracks),
        lyrics=tuple(sorted((text for track in tracks for text in track.lyrics), key=lambda text: text.tick)),
    ), done.repairs("instruments")


def _all_controls(tracks: list[Track]) -> Controls:
    columns = [np.concatenate([getattr(track.controls, name) for track in tracks]) for name in Controls._dtypes]
    return Controls.trusted(*columns).take(np.argsort(columns[0], kind="stable"))


def _by_program(track: Track) -> Key:
    return track.is_drum, 0 if track.is_drum else track.program


def _by_family(track: Track) -> Key:
    return track.is_drum, FAMILIES.index(family(track.program, is_drum=track.is_drum))


def _by_kind(track: Track) -> Key:
    return track.is_drum, 0


_KEYS: dict[Together, Callable[[Track], Key]] = {"program": _by_program, "family": _by_family, "all": _by_kind}
