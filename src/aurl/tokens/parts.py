"""Which part each track becomes, and what happens where a stream has no parts or too few."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aurl.midi.score import Track
from aurl.tokens.vocabulary import DRUM_PROGRAM, MAX_PARTS


@dataclass(frozen=True, slots=True)
class Parts:
    """The tracks that go into a stream.

    Args:
        tracks: tracks with notes, in score order.
        part: part of each track.
        programs: PROGRAM value of each part.
        repairs: repair name → count.
    """

    tracks: tuple[Track, ...]
    part: tuple[int, ...]
    programs: tuple[int, ...]
    repairs: dict[str, int]


def keep_parts(tracks: Sequence[Track]) -> Parts:
    """Each sounding track is a part of its own, in score order.

    Of more than 32, tracks of one program share a part; of more than 32 programs, drums and the 31 with the most notes
    stay, and the others join the nearest program (General MIDI numbers neighbouring instruments alike). No note is left
    out; `tracks_merged` counts the tracks that lost a part of their own.
    """
    sounding = tuple(track for track in tracks if len(track.notes))
    programs = tuple(DRUM_PROGRAM if track.is_drum else track.program for track in sounding)
    if len(sounding) <= MAX_PARTS:
        return Parts(sounding, tuple(range(len(sounding))), programs, {})
    home = _homes(sounding, programs)
    parts = tuple(dict.fromkeys(home[program] for program in programs))
    part = tuple(parts.index(home[program]) for program in programs)
    return Parts(sounding, part, parts, {"tracks_merged": len(sounding) - len(parts)})


def merge_parts(tracks: Sequence[Track]) -> Parts:
    """All tracks as one part.

    Drum notes are not pitches: among pitched tracks a kick drum would become a low C. They are left out and counted
    (`drum_notes_left_out`); a piece of drums alone is kept, and its `Maps` remember that it is a kit.
    """
    sounding = tuple(track for track in tracks if len(track.notes))
    pitched = tuple(track for track in sounding if not track.is_drum)
    if not pitched:
        return Parts(sounding, (0,) * len(sounding), (DRUM_PROGRAM,), {})
    left_out = sum(len(track.notes) for track in sounding if track.is_drum)
    return Parts(pitched, (0,) * len(pitched), (0,), {"drum_notes_left_out": left_out} if left_out else {})


def _homes(tracks: Sequence[Track], programs: Sequence[int]) -> dict[int, int]:
    """Program → program whose part its notes go to."""
    notes: Counter[int] = Counter()
    for track, program in zip(tracks, programs, strict=True):
        notes[program] += len(track.notes)
    kept = sorted(notes, key=lambda program: (program != DRUM_PROGRAM, -notes[program], program))[:MAX_PARTS]
    pitched = [program for program in kept if program != DRUM_PROGRAM]
    return {p: p if p in kept else min(pitched, key=lambda other: abs(other - p)) for p in notes}
