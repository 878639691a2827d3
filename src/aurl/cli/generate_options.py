"""The options of `aurl generate`, in the groups in which its help shows them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from aurl.cli.options import Force, complete_runs

Strings = list[str] | None


@dataclass(frozen=True, kw_only=True)
class What:
    """Which pieces, by which run, of which songs."""

    PANEL: ClassVar = "What"

    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="Name or folder of the run; the latest by default.", autocompletion=complete_runs
        ),
    ] = None
    run_option: Annotated[
        str | None,
        typer.Option("--run", "-r", metavar="NAME|FOLDER", help="The same.", autocompletion=complete_runs),
    ] = None
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", metavar="best|latest|NAME", help="Which state of the model.")
    ] = "best"
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, metavar="N", help="How many pieces; they are numbered.")
    ] = 1
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, metavar="N", help="The same seed, the same bytes; drawn by default.")
    ] = None
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="FILE|-", help="A MIDI file or written music to continue; - for stdin."),
    ] = None
    prompt_seconds: Annotated[
        float | None, typer.Option("--prompt-seconds", metavar="S", help="Continue after its first S seconds.")
    ] = None
    infill: Annotated[
        str | None,
        typer.Option(
            "--infill",
            metavar="FROM:TO",
            help="Make this part of the song anew: 9:13 for bars 9 to 12, or 12s:20s. The rest stays as it is.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Length:
    """How much new music."""

    PANEL: ClassVar = "Length"

    seconds: Annotated[float | None, typer.Option("--seconds", metavar="S", help="Seconds of new music.")] = None
    bars: Annotated[int | None, typer.Option("--bars", min=1, metavar="N", help="Bars of new music.")] = None
    form: Annotated[
        str | None,
        typer.Option(
            "--form",
            metavar="LETTERS[,…]",
            help="Sections, of which equal ones come back: AABA, or AABA,bars=8,fresh=2.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How ids are drawn."""

    PANEL: ClassVar = "Sampling"

    temperature: Annotated[
        float | None,
        typer.Option("--temperature", "-t", metavar="T", help="Below 1 safer, above 1 bolder; 0 takes the likeliest."),
    ] = None
    temperature_of: Annotated[
        Strings,
        typer.Option(
            "--temperature-of",
            metavar="KIND=T",
            help="The same among events of one kind: note_on, note_off, time_shift, velocity, control. Repeat it.",
        ),
    ] = None
    top_k: Annotated[
        int | None, typer.Option("--top-k", metavar="K", help="Draw from the K likeliest events only; 0: from all.")
    ] = None
    top_p: Annotated[
        float | None,
        typer.Option("--top-p", metavar="P", help="Draw from the likeliest events that have probability P together."),
    ] = None
    min_p: Annotated[
        float | None,
        typer.Option("--min-p", metavar="P", help="Drop events less likely than P times the likeliest."),
    ] = None
    typical: Annotated[
        str | None,
        typer.Option("--typical", metavar="P", help="Draw from the events about as surprising as is to be expected."),
    ] = None
    eta: Annotated[
        str | None,
        typer.Option("--eta", metavar="E", help="Drop events below E, or less where all are unlikely, as in 0.01."),
    ] = None
    repetition: Annotated[
        str | None,
        typer.Option(
            "--repetition", metavar="R[,…]", help="Make recent events less likely, as in 1.2 or 1.2,window=32."
        ),
    ] = None
    no_repeat: Annotated[
        str | None,
        typer.Option(
            "--no-repeat", metavar="N[,…]", help="Never repeat so many pitches in a row, as in 8 or 8,times=1."
        ),
    ] = None
    beam: Annotated[
        str | None,
        typer.Option(
            "--beam",
            metavar="N[,…]",
            help="Search for the likeliest pieces, as in 8 or 8,groups=2,diversity=0.5,length_penalty=1.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """What pieces keep to."""

    PANEL: ClassVar = "Constraints"

    pitch_range: Annotated[
        str | None, typer.Option("--range", metavar="LOW:HIGH", help="Lowest and highest pitch, as in 48:84 or C3:C6.")
    ] = None
    scale: Annotated[
        str | None, typer.Option("--scale", metavar="SCALE", help='Notes of this scale only, as in "C minor".')
    ] = None
    max_polyphony: Annotated[
        str | None,
        typer.Option("--max-polyphony", metavar="N[,…]", help="Most notes that sound at once, as in 4 or 1,per=part."),
    ] = None
    max_density: Annotated[
        str | None,
        typer.Option(
            "--max-density", metavar="N[,…]", help="Most notes per beat, as in 4 or 4,least=1 (notes per beat, too)."
        ),
    ] = None
    grid: Annotated[
        str | None, typer.Option("--grid", metavar="NOTE", help="Notes begin on this grid only, as in 1/16 or 1/8t.")
    ] = None
    no_copy: Annotated[
        str | None,
        typer.Option(
            "--no-copy",
            metavar="N[,…]",
            help="Copy no more than so many notes of the music that was learnt from, as in 12 or 12,data=FOLDER.",
        ),
    ] = None
    mend: Annotated[
        bool, typer.Option("--mend", help="Make whole pieces keep to all of this, and leave the model alone.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What the model is told."""

    PANEL: ClassVar = "Conditions"

    tempo: Annotated[float | None, typer.Option("--tempo", metavar="BPM", help="Beats per minute.")] = None
    meter: Annotated[str | None, typer.Option("--meter", metavar="N/D", help="As in 3/4.")] = None
    key: Annotated[str | None, typer.Option("--key", metavar="KEY", help='As in "C minor".')] = None
    chords: Annotated[
        str | None, typer.Option("--chords", metavar="CHORDS", help='One after the other, again and again: "Am F C G".')
    ] = None
    chord_bars: Annotated[
        float | None, typer.Option("--chord-bars", metavar="N", help="How many bars each chord lasts; 1 by default.")
    ] = None
    instruments: Annotated[
        str | None,
        typer.Option("--instruments", metavar="NAMES", help='One for each part: piano,"acoustic bass",drums.'),
    ] = None
    density: Annotated[float | None, typer.Option("--density", metavar="D", help="Notes per beat.")] = None
    polyphony: Annotated[float | None, typer.Option("--polyphony", metavar="N", help="Notes at once.")] = None
    register: Annotated[str | None, typer.Option("--register", metavar="PITCH", help="Mean pitch, as in 60 or C4.")] = (
        None
    )
    dynamics: Annotated[
        float | None, typer.Option("--dynamics", metavar="L", help="Mean loudness from 0, very soft, to 5.")
    ] = None
    guidance: Annotated[
        float | None,
        typer.Option("--guidance", metavar="G", help="How strongly pieces are drawn to all of this; 1 as learned."),
    ] = None
    steering: Annotated[
        float | None,
        typer.Option(
            "--steering", metavar="S", help="How strongly they are led back to key and numbers; 0: not at all."
        ),
    ] = None
    style: Annotated[
        str | None,
        typer.Option("--style", metavar="NAME", help="One of the styles that the run knows; see latent.style."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Latents:
    """Where latents come from, and how they are moved."""

    PANEL: ClassVar = "Latents"

    like: Annotated[
        str | None,
        typer.Option(
            "--like",
            metavar="FILE|-",
            help="A song whose latents are taken, and its length; needs a model of mode vae or vae_gan.",
        ),
    ] = None
    variation: Annotated[
        float,
        typer.Option(
            "--variation", metavar="V", help="How far from the song; 1: as uncertain as the encoder is of it."
        ),
    ] = 0.0
    interpolate: Annotated[
        tuple[str, str] | None,
        typer.Option("--interpolate", metavar="FILE FILE", help="Pieces that lead from one song to another."),
    ] = None
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="How many pieces that takes, both ends included; 7.")
    ] = None
    keep: Annotated[
        Strings,
        typer.Option(
            "--keep",
            metavar="LEVEL",
            help="Keep only these latents of the song: global, local or fine. Repeat it.",
        ),
    ] = None
    more: Annotated[
        Strings,
        typer.Option(
            "--more",
            metavar="NAME=AMOUNT",
            help="More of an attribute, in deviations of the music learnt from, as in density=+1.5. Repeat it.",
        ),
    ] = None
    hold: Annotated[bool, typer.Option("--hold", help="With --more: what is not named stays as it is.")] = False
    latent_temperature: Annotated[
        float | None,
        typer.Option(
            "--latent-temperature", metavar="T", help="How far latents of the prior are from its centre; 1 as trained."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Writing:
    """Where pieces go."""

    PANEL: ClassVar = "Output"

    out: Annotated[
        Strings,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER|-",
            help="Where to write; aurl-SEED.mid by default. The suffix decides: .mid, .musicxml, .wav, .png, .html "
            "(a page that plays all pieces); - for MIDI on stdout. Repeat it.",
        ),
    ] = None
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE.png", help="Draw each piece as a piano roll.")
    ] = None
    soundfont: Annotated[
        Path | None, typer.Option("--soundfont", metavar="FILE.sf2", help="What .wav files are played with.")
    ] = None
    choices: Annotated[
        bool,
        typer.Option("--choices", help="Tell beside each piece, as JSON, how it was made."),
    ] = False
    stream: Annotated[
        bool, typer.Option("--stream", help="Print notes as they are made, one JSON object a line; files only with -o.")
    ] = False
    force: Force = False
