"""Ask a trained run from Python: `python asking.py RUN_FOLDER SONG.mid OTHER.mid OUT_FOLDER`."""

import sys
from pathlib import Path

from aurl.errors import UsageError
from aurl.generation.generate import opened
from aurl.generation.making import Making
from aurl.generation.pieces import each_piece
from aurl.generation.request import Request
from aurl.generation.wishes import Wishes
from aurl.midi.write import save_midi
from aurl.studies.names import parse_chords


def main(run: Path, song: Path, other: Path, out: Path) -> None:
    """Go on from a song, fill in some of its bars, lead to another song, play over chords."""
    requests = {
        "continued": Request(seed=1, prompt=song, prompt_seconds=10.0, bars=8),
        "filled": Request(seed=1, prompt=song, infill="5:9"),
        "between": Request(seed=1, interpolate=(song, other), steps=5, bars=8),
        "chords": Request(seed=1, bars=8, wishes=Wishes(chords=parse_chords("Am F C G"))),
        "strict": Request(seed=1, seconds=20.0, constraints=({"kind": "range", "lowest": 48, "highest": 84},)),
    }
    with opened(run) as loaded:
        for name, request in requests.items():
            try:
                pieces = list(each_piece(Making.of(loaded, request)))
            except UsageError as error:  # what this run has not learned, and how to train one that has
                print(f"{name}: {error.message}; {error.hint}")
                continue
            for number, piece in enumerate(pieces, start=1):
                save_midi(piece.score, out / f"{name}-{number}.mid")
                print(f"{name}-{number}.mid: {piece.score.note_count} notes")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
