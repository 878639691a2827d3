"""Small models with latents, whose decoders are made to hear them."""

import torch
from torch import nn

from aurl.model.build import build_model
from aurl.model.packing import pack_linears
from aurl.profile import load_profile
from aurl.tokens.codec import Codec

SMALL = {
    "model.mode": "vae",
    "model.d_model": 32,
    "model.n_layers": 2,
    "model.n_heads": 2,
    "model.dropout": 0.0,
    "data.seq_len": 64,
    "latent.global_size": 16,
    "latent.local_size": 16,
    "latent.local_tokens": 32,
    "latent.fine_size": 16,
    "latent.fine_tokens": 16,
    "latent.stream_size": 16,
}
FLAT = {"local_size": 0, "fine_size": 0}
"""One latent for all."""


def small_vae(codec=None, *, packed=True, styles=(), **options):
    """Keywords are keys of `latent`, or dotted keys with `__`."""
    given = {key.replace("__", ".") if "__" in key else f"latent.{key}": value for key, value in options.items()}
    torch.manual_seed(0)
    model = build_model(load_profile(flags={**SMALL, **given}), codec or Codec(), styles).eval()
    with torch.no_grad():
        for layer in model.decoder.hearing:
            nn.init.normal_(layer.weight, std=0.5)
        for parameter in model.prior.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return pack_linears(model) if packed else model
