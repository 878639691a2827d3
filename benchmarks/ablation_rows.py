"""What the rows of the ablation table are: each is one recipe, beside the one that it is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass, field

SHARED = (
    "model.d_model=128",
    "model.n_layers=4",
    "model.n_heads=4",
    "model.dropout=0.0",
    "data.seq_len=1024",
    'data.augment=[{kind="transpose"}]',
    "training.lr=5e-3",
    "training.warmup_steps=50",
    "training.ema_decay=0.99",
    "training.sample_every=0",
    "training.log_every=20",
    "training.patience=100",
)
"""What all rows share; the size is one that two cores can train by the dozen."""
CONSTANT = 'loss.kl_schedule={kind="constant"}'
"""Where the course of beta is not what is looked at; the shipped profile took the best of the courses afterwards."""
NO_HINTS = ("loss.bag=0", "loss.echo=0")
NO_FREE_BITS = ("loss.free_bits_global=0", "loss.free_bits_local=0", "loss.free_bits_fine=0")
CONSTRAINTS = tuple(f"loss.terms.{kind}={{}}" for kind in ("rhythm_regularity", "harsh_intervals", "leaps"))
PERCEPTUAL = tuple(f"loss.terms.perceptual_{kind}={{}}" for kind in ("rhythm", "harmony", "melody"))
REGULARISERS = tuple(f"loss.terms.{kind}={{}}" for kind in ("mutual_information", "orthogonality", "sparsity"))
ALL_TERMS = (*CONSTRAINTS, *PERCEPTUAL, *REGULARISERS)
MUSICAL = 'loss.reconstruction={kind="musical"}'


@dataclass(frozen=True)
class Row:
    """One recipe.

    Args:
        mode: of the model.
        overrides: `KEY=VALUE` beside what all rows share.
        beside: the row that it differs from in one thing; none for the first.
        profiles: laid over the size.
    """

    mode: str
    overrides: Sequence[str] = field(default=())
    beside: str = ""
    profiles: Sequence[str] = ()


def changed(*overrides: str, beside: str, mode: str = "vae") -> Row:
    """The recipe of mode `vae` with constant beta, and what is changed."""
    return Row(mode, (CONSTANT, *overrides), beside)


def schedule(kind: str, options: str = "") -> Row:
    """The default recipe with another course of beta."""
    return Row("vae", (f'loss.kl_schedule={{kind="{kind}"{options}}}',), "vae")


def rate(beta: float) -> Row:
    """An autoencoder whose latents become as dear as this: what a likelihood costs in KL divergence."""
    return Row("vae", (f"loss.beta={beta}",), "faithful", ("faithful",))


ROWS = {
    "transformer": Row("transformer"),
    "elbo": changed(*NO_HINTS, *NO_FREE_BITS, beside=""),
    "elbo-musical": changed(*NO_HINTS, *NO_FREE_BITS, MUSICAL, beside="elbo"),
    "elbo-free-bits": changed(*NO_HINTS, beside="elbo"),
    "vae": changed(beside="elbo-free-bits"),
    "musical": changed(MUSICAL, beside="vae"),
    "linear": schedule("linear"),
    "linear-soon": schedule("linear", ", full=0.2"),
    "exponential": schedule("exponential"),
    "cosine": schedule("cosine"),
    "cyclical": schedule("cyclical"),
    "adaptive": schedule("adaptive", ", target=0.2, speed=0.5"),
    "vae_gan": changed(beside="vae", mode="vae_gan"),
    "vae_gan-adaptive": changed("discriminator.weight_cap=10", beside="vae_gan", mode="vae_gan"),
    "vae_gan-r1": changed("discriminator.r1=1", beside="vae_gan", mode="vae_gan"),
    "constraints": changed(*CONSTRAINTS, beside="vae"),
    "perceptual": changed(*PERCEPTUAL, beside="vae"),
    "mutual-information": changed(*REGULARISERS[:1], beside="vae"),
    "orthogonality": changed(*REGULARISERS[1:2], beside="vae"),
    "sparsity": changed(*REGULARISERS[2:], beside="vae"),
    "all-terms": changed(*ALL_TERMS, beside="vae"),
    "uncertainty": changed(*ALL_TERMS, 'loss.balancing={kind="uncertainty"}', beside="all-terms"),
    "gradient-norm": changed(*ALL_TERMS, 'loss.balancing={kind="gradient_norm"}', beside="all-terms"),
    "faithful": Row("vae", (), "vae", ("faithful",)),
    "rate-0.2": rate(0.2),
    "rate-0.3": rate(0.3),
    "rate-0.5": rate(0.5),
}
