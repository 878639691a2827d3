"""The codec once more, note by note with fractions and dictionaries: slow, and written from the description alone."""

from fractions import Fraction
from itertools import pairwise
from math import floor, log2

from aurl.midi.score import Score

ON, OFF, SHIFT, VELOCITY = 0, 128, 256, 768
PAD, BOS, EOS, MASK, SEP, PART, PROGRAM, TEMPO = 774, 775, 776, 777, 778, 779, 811, 940
TIME_SIGNATURE, KEY = 972, 1052


def step_of(tick: int, score: Score, time_base: str) -> int:
    if time_base == "beats":
        return floor(Fraction(tick * 32, score.ticks_per_beat) + Fraction(1, 2))
    seconds, at, tempo = Fraction(0), 0, 500_000
    changes = zip(score.tempos.tick.tolist(), score.tempos.microseconds_per_beat.tolist(), strict=True)
    for change, following in changes:
        if change > tick:
            break
        seconds += Fraction((change - at) * tempo, score.ticks_per_beat * 10**6)
        at, tempo = change, following
    seconds += Fraction((tick - at) * tempo, score.ticks_per_beat * 10**6)
    return floor(seconds * 64 + Fraction(1, 2))


def level_of(velocity: int) -> int:
    return next(level for level, top in enumerate((22, 43, 64, 85, 106, 127)) if velocity <= top)


def encode(score: Score, *, time_base="beats", parts=True, header=("tempo", "time_signature", "key")) -> list[int]:
    tracks = [track for track in score.tracks if len(track.notes)]
    if not parts and any(not track.is_drum for track in tracks):
        tracks = [track for track in tracks if not track.is_drum]
    ids = [BOS, *_facts(score, tracks, header)]
    if parts:
        for number, track in enumerate(tracks):
            ids += [PART + number, PROGRAM + (128 if track.is_drum else track.program)]
    if parts or header:
        ids.append(SEP)
    lanes: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for number, track in enumerate(tracks):
        columns = (track.notes.onset, track.notes.offset, track.notes.pitch, track.notes.velocity)
        for onset, offset, pitch, velocity in zip(*(column.tolist() for column in columns), strict=True):
            steps = step_of(onset, score, time_base), step_of(offset, score, time_base)
            lanes.setdefault((number if parts else 0, pitch), []).append((*steps, level_of(velocity)))
    if not parts:
        lanes = {lane: _unisons_merged(rows) for lane, rows in lanes.items()}
    return [*ids, *_body(lanes, parts), EOS]


def _unisons_merged(rows):
    onsets = {onset for onset, _, _ in rows}
    return [
        (onset, max(o for b, o, _ in rows if b == onset), max(v for b, _, v in rows if b == onset)) for onset in onsets
    ]


def _body(lanes, parts: bool) -> list[int]:
    events = []
    for (part, pitch), rows in lanes.items():
        ordered = sorted(rows)
        for (onset, offset, level), following in zip(ordered, [*ordered[1:], None], strict=True):
            end = offset if following is None else min(offset, following[0])
            if end == onset:
                events.append((onset, 1, part, level, pitch))
            else:
                events += [(onset, 2, part, level, pitch), (end, 0, part, 0, pitch)]
    ids, now, playing, loudness = [], 0, None, None
    for step, phase, part, level, pitch in sorted(events):
        while now < step:
            wait = min(step - now, 512)
            ids.append(SHIFT + wait - 1)
            now += wait
        if parts and part != playing:
            ids.append(PART + part)
            playing = part
        if phase and level != loudness:
            ids.append(VELOCITY + level)
            loudness = level
        ids += {0: [OFF + pitch], 1: [ON + pitch, OFF + pitch], 2: [ON + pitch]}[phase]
    return ids


def _facts(score: Score, tracks, header) -> list[int]:
    first = min((int(track.notes.onset.min()) for track in tracks), default=0)
    ids = []
    tempos = [row for row in zip(score.tempos.tick, score.tempos.microseconds_per_beat, strict=True) if row[0] <= first]
    if "tempo" in header and tempos:
        bpm = 60e6 / int(tempos[-1][1])
        distances = [abs(log2(bpm) - log2(30 * 10 ** (number / 31))) for number in range(32)]
        ids.append(TEMPO + distances.index(min(distances)))
    meters = score.time_signatures
    rows = [r for r in zip(meters.tick, meters.numerator, meters.denominator, strict=True) if r[0] <= first]
    if "time_signature" in header and rows and rows[-1][1] <= 16 and rows[-1][2] <= 16:
        ids.append(TIME_SIGNATURE + 16 * [1, 2, 4, 8, 16].index(rows[-1][2]) + int(rows[-1][1]) - 1)
    keys = score.key_signatures
    rows = [r for r in zip(keys.tick, keys.fifths, keys.minor, strict=True) if r[0] <= first]
    if "key" in header and rows:
        ids.append(KEY + 15 * int(rows[-1][2]) + int(rows[-1][1]) + 7)
    return ids


def decode(ids) -> list[tuple[int, int, int, int, int]]:
    """(part, pitch, onset step, offset step, velocity level) of each note, sorted."""
    ids = [int(token) for token in ids]
    ids = ids[: ids.index(EOS)] if EOS in ids else ids
    declared = [a - PART for a, b in pairwise(ids) if PART <= a < PROGRAM <= b < TEMPO]
    now, part, level, sounding, notes = 0, min(declared, default=0), 3, {}, []

    def end(lane):
        if lane in sounding:
            onset, loudness = sounding.pop(lane)
            notes.append((*lane, onset, now, loudness))

    for token, following in zip(ids, [*ids[1:], PAD], strict=False):
        if 0 <= token < SHIFT:
            end((part, token % 128))
        if 0 <= token < OFF:
            sounding[part, token] = (now, level)
        elif SHIFT <= token < VELOCITY:
            now += token - SHIFT + 1
        elif VELOCITY <= token < PAD:
            level = token - VELOCITY
        elif PART <= token < PROGRAM and not PROGRAM <= following < TEMPO:
            part = token - PART
    for lane in list(sounding):
        end(lane)
    return sorted(notes)
