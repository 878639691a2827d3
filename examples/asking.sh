#!/usr/bin/env sh
# What a trained run can be asked: go on from a song, fill in some of its bars, lead to another song, play over chords.
#
#   asking.sh RUN SONG.mid OTHER.mid [OUT_FOLDER]
#
# Filling in and chords need a run that was trained with --set controls.infill=0.3 --set controls.chords=true, the way from
# song to song one of mode vae or vae_gan. What a run cannot do it says in one line (exit code 2); the rest is made anyway.
set -u

run=${1:?usage: asking.sh RUN SONG.mid OTHER.mid [OUT_FOLDER]}
song=${2:?usage: asking.sh RUN SONG.mid OTHER.mid [OUT_FOLDER]}
other=${3:?usage: asking.sh RUN SONG.mid OTHER.mid [OUT_FOLDER]}
out=${4:-./aurl-asked}
mkdir -p "$out"

ask() {
    aurl generate "$run" --seed 1 --force --no-progress "$@" || [ $? -eq 2 ]
}

ask --prompt "$song" --prompt-seconds 10 --bars 8 -o "$out/continued.mid"
ask --prompt "$song" --infill 5:9 -o "$out/filled.mid"
ask --interpolate "$song" "$other" --steps 5 --bars 8 -o "$out/between.mid"
ask --chords "Am F C G" --bars 8 -o "$out/chords.mid"
ask --range C3:C6 --max-polyphony 4 --scale "A minor" --seconds 20 -o "$out/strict.mid"
