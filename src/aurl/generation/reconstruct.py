"""What of a song comes back through its latents alone."""

from pathlib import Path

from aurl.generation.engine import Engine
from aurl.generation.load import Loaded
from aurl.generation.prompt import load_song, told_song
from aurl.generation.sampling.sampler import Sampler
from aurl.generation.source import LatentSource
from aurl.midi.score import Score
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import BOS


def reconstruct(loaded: Loaded, song: Path | Score, *, tokens: int | None = None, seed: int = 0) -> Score:
    """Encode a song, then decode its latents from nothing, taking the likeliest id each time.

    Args:
        loaded: a model with latents.
        song: prepared as training would have seen it.
        tokens: only its first ids, BOS among them, are encoded; and as many are made, or fewer where the model ends.
        seed: of the prior, which goes on where the model takes more ids than the song for the same music.

    Returns:
        The music with the song's own tempi and meters, so that it can be compared in ticks or in seconds.

    Raises:
        UsageError: the model has no latents, or the song no notes.
        Rejected: the file cannot be used.
    """
    codec, context = loaded.codec, loaded.profile.data.seq_len
    _, encoded = load_song(song, codec, preprocess=loaded.preprocess)
    ids = told_song(encoded, codec)[:tokens]
    source = LatentSource(loaded.model, context=context, prompt=[BOS], like=ids)
    engine = Engine(
        loaded.model, Grammar.of(codec, allow_zero_length=False), sampler=Sampler(temperature=0), context=context
    )
    batch = engine.start(seeds=[seed], max_tokens=len(ids) - 1, latents=source)
    for _ in batch:
        pass
    return codec.decode(batch.pieces[0].ids, encoded.maps)
