"""Prepare, train and generate from Python: `python library.py MIDI_FOLDER OUT.mid [MINUTES]`."""

import sys
from pathlib import Path

from aurl.data.prepare import prepare
from aurl.generation.generate import generate
from aurl.generation.request import Request
from aurl.midi.write import save_midi
from aurl.profile import load_profile
from aurl.training.trainer import fit


def main(midi_folder: Path, out: Path, minutes: float = 5.0) -> None:
    """Train for some minutes on the MIDI files in a folder and write one piece."""
    work = out.parent / "aurl-work"
    profile = load_profile(["small"], [f"training.max_minutes={minutes}"])
    prepared = prepare([midi_folder], profile, work / "dataset")
    print(f"{prepared.prepared} of {prepared.files} files, {prepared.tokens} tokens")
    result = fit(profile, work / "dataset", work / "run")
    print(f"{result.best_nats_per_note} nats per note after {result.step} steps")
    piece = generate(result.run_folder, Request(seed=1, seconds=30))[0]
    save_midi(piece.score, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(float, sys.argv[3:]))
