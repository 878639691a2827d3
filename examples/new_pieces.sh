#!/usr/bin/env sh
# From a folder of MIDI to new pieces: prepare (only what is new), train for a while, write five pieces.
#
#   new_pieces.sh MIDI_FOLDER [OUT_FOLDER] [MINUTES]
#
# Run it again after adding files: prepare costs next to nothing where nothing changed.
set -eu

midi=${1:?usage: new_pieces.sh MIDI_FOLDER [OUT_FOLDER] [MINUTES]}
out=${2:-./aurl-pieces}
minutes=${3:-30}

# Exit code 3 means: done, some files were rejected (the table says why). That is no reason to stop.
aurl prepare "$midi" || [ $? -eq 3 ]
aurl train --max-minutes "$minutes"

mkdir -p "$out"
aurl generate -n 5 --temperature 0.9 --seconds 45 -o "$out/piece.mid" --picture "$out/roll.png" --force
