"""The keys of a profile that say what is minimised, and how."""

from typing import Annotated, Any, Literal

from pydantic import Field

from aurl.profile.sections import Component, ComponentOf, Optional, OptionsOf, Section


class Loss(Section):
    """What is minimised."""

    reconstruction: Annotated[Component, ComponentOf("reconstruction")] = Field(
        default={"kind": "plain"}, description="How much each target counts in the likelihood that is minimised."
    )
    terms: Annotated[dict[str, dict[str, Any]], OptionsOf("loss")] = Field(
        default={}, description="Further terms, a table for each kind; each has a weight."
    )
    balancing: Annotated[Component, ComponentOf("balancing")] = Field(
        default={"kind": "fixed"}, description="How the weights of the terms change in the course of training."
    )
    beta: float = Field(default=1.0, ge=0, description="Weight of the KL divergence; 1: the ELBO.")
    kl_schedule: Annotated[Component, ComponentOf("kl_schedule")] = Field(
        default={"kind": "constant"}, description="How a factor of beta changes in the course of training."
    )
    free_bits_global: float = Field(
        default=16.0,
        ge=0,
        description="Nats that a global latent may cost, in the mean of a batch, before its KL counts.",
    )
    free_bits_local: float = Field(default=8.0, ge=0, description="The same for a local latent.")
    free_bits_fine: float = Field(default=4.0, ge=0, description="The same for a fine latent.")
    bag: float = Field(
        default=0.1,
        ge=0,
        description="Weight of telling from each latent alone which ids its tokens are, in any order.",
    )
    echo: float = Field(
        default=0.3, ge=0, description="Weight of telling from all latents alone which id stands where."
    )
    hints_end: float = Field(
        default=1.0, gt=0, le=1, description="Share of the training after which bag and echo have faded."
    )
    adversarial: float = Field(default=0.1, ge=0, description="Weight of deceiving the discriminator.")
    feature_matching: float = Field(
        default=0.1, ge=0, description="Weight of looking to the discriminator's layers as real music does."
    )


class Lora(Section):
    """Low-rank adapters (Hu et al. 2022) that learn instead of the weights."""

    rank: int = Field(default=8, ge=1, description="Rank of what is added to a weight matrix.")
    alpha: float = Field(default=16.0, gt=0, description="Scale of what is added, which is divided by the rank.")
    targets: tuple[Literal["qkv", "out", "up", "down"], ...] = Field(
        default=("qkv", "out", "up", "down"), min_length=1, description="Linear layers of blocks that are adapted."
    )


class Training(Section):
    """How the model is trained."""

    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed of all randomness of the run.")
    max_steps: Annotated[int | None, Optional] = Field(
        default=None, ge=1, description="Optimiser steps after which training ends; none: until it stops improving."
    )
    max_minutes: Annotated[float | None, Optional] = Field(
        default=None, gt=0, description="Minutes of training after which it ends; none: until it stops improving."
    )
    horizon_steps: int = Field(
        default=20_000, ge=1, description="Length of the learning-rate schedule where max_steps is none."
    )
    lr: float = Field(default=6e-4, gt=0, description="Highest learning rate.")
    min_lr_ratio: float = Field(default=0.1, ge=0, le=1, description="Lowest learning rate as a share of lr.")
    warmup_steps: int = Field(default=200, ge=0, description="Steps over which the learning rate rises from 0 to lr.")
    schedule: Annotated[Component, ComponentOf("schedule")] = Field(
        default={"kind": "cosine"}, description="How the learning rate falls after the warm-up."
    )
    optimizer: Annotated[Component, ComponentOf("optimizer")] = Field(
        default={"kind": "muon"}, description="How gradients become updates."
    )
    weight_decay: float = Field(default=0.1, ge=0, description="Weight decay, on matrices only.")
    clipping: Annotated[Component, ComponentOf("clipping")] = Field(
        default={"kind": "norm"}, description="How gradients that are too long are shortened."
    )
    plateau_factor: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="What is left of the learning rate after plateau_patience evaluations that were no better; 1: all.",
    )
    plateau_patience: int = Field(default=4, ge=1, description="So many of them, in a row.")
    accumulation: int = Field(default=1, ge=1, description="Batches whose gradients make one optimiser step.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="Arithmetic of the forward pass; auto takes bf16 where the device is fast at it."
    )
    ema_decay: float = Field(
        default=0.999, ge=0, lt=1, description="Decay of the weight average that is evaluated and kept; 0: none."
    )
    swa_start: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Share of the training after which the mean of all weights since then takes the place of the "
        "weight average (SWA); 1: never.",
    )
    swa_lr_ratio: float = Field(default=0.5, gt=0, le=1, description="Learning rate meanwhile, as a share of lr.")
    sharding: Literal["none", "full"] = Field(
        default="none",
        description="What processes divide among them; full: weights, gradients and optimiser state (FSDP).",
    )
    eval_every: int = Field(default=200, ge=1, description="Steps between two evaluations on the valid split.")
    log_every: int = Field(default=10, ge=1, description="Steps between two lines of metrics.jsonl.")
    checkpoint_every: int = Field(default=200, ge=1, description="Steps between two checkpoints.")
    lora: Annotated[Lora | None, Optional] = Field(
        default=None,
        description="Adapters that learn in place of the weights of --from, as in { rank = 8, alpha = 16.0,"
        ' targets = ["qkv", "out", "up", "down"] }; none: all weights learn.',
    )
    teacher: Annotated[str | None, Optional] = Field(
        default=None,
        description="Run (or RUN@CHECKPOINT) that loss.terms.distillation learns from; none: nobody teaches.",
    )
    sample_every: int = Field(default=1000, ge=0, description="Steps between two sample pieces; 0: none.")
    sample_seconds: float = Field(default=20.0, gt=0, description="Length of a sample piece in seconds.")
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = Field(
        default=(), description="Experiment trackers that are told the numbers of metrics.jsonl, too; see runs.md."
    )
    keep_last: int = Field(default=3, ge=1, description="Newest checkpoints that are kept beside the best ones.")
    keep_best: int = Field(default=1, ge=1, description="Best checkpoints that are kept.")
    keep_every: int = Field(default=0, ge=0, description="Checkpoints of multiples of so many steps stay; 0: none.")
    best_by: str = Field(
        default="auto",
        description="Logged number that makes a checkpoint the best; auto: nats per note, of the bound with latents.",
    )
    best_mode: Literal["auto", "min", "max"] = Field(
        default="auto", description="Whether less or more of best_by is better; auto: as is usual for it."
    )
    patience: int = Field(
        default=10, ge=1, description="Evaluations without a better validation loss after which training ends."
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of each target's probability that is spread over all ids."
    )
