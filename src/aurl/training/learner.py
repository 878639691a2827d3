"""From a profile to models and optimizers, as new or as a checkpoint left them, shared out by Accelerate."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn
from torch.amp import GradScaler

from aurl.errors import DamagedError
from aurl.loss.objective import build_objective
from aurl.loss.penalties import Penalties
from aurl.loss.terms import ADVERSARIAL, FEATURE_MATCHING
from aurl.model.build import HasVocabulary, build_discriminator, build_model
from aurl.model.lora import adapt
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.model.weights import load_weights
from aurl.profile import Profile
from aurl.training.adversary import Adversary, discriminator_optimizer
from aurl.training.averaging import average_weights
from aurl.training.checkpoint import (
    DISCRIMINATOR,
    DISCRIMINATOR_OPTIMIZER,
    EMA,
    MODEL,
    OPTIMIZER,
    Found,
    read_tensors,
)
from aurl.training.distillation import load_teacher
from aurl.training.optim import OPTIMIZERS, load_optimizer_tensors
from aurl.training.phases import kl_schedule
from aurl.training.random_state import seed_process
from aurl.training.stabiliser import Stabiliser
from aurl.training.stages import remembered, same_optimizer
from aurl.training.start import load_start
from aurl.training.state import Stateful, TrainingState
from aurl.training.steps import Learner


def build_learner(
    profile: Profile,
    codec: HasVocabulary,
    accelerator: Accelerator,
    found: Found | None,
    styles: Sequence[str] = (),
    *,
    before: Profile | None = None,
    start: Path | None = None,
    teacher: Mapping[str, str] | None = None,
) -> Learner:
    """Everything that an update touches; all processes begin with the same weights.

    Args:
        profile: what is built.
        codec: of the ids.
        accelerator: where it is to be.
        found: checkpoint to go on from.
        styles: names of those that the prior can be told.
        before: what the checkpoint was made by, if that was the stage before this one.
        start: folder of the run, if there are weights in it to start from.
        teacher: what the run knows of its teacher, None without.

    Raises:
        DamagedError: the checkpoint does not fit the profile.
        NotFoundError: the teacher is gone.
        UsageError: the precision is not one that two optimizers can share.
    """
    training = profile.training
    seed_process(training.seed, rank=0)
    plain = build_model(profile, codec, styles).to(accelerator.device)
    plain.level_dropout = profile.latent.level_dropout
    if start is not None and found is None:
        load_start(plain, start)
    if training.lora is not None:
        adapt(plain, **training.lora.model_dump())
    if plain.bags is not None and not profile.loss.bag:
        plain.bags.requires_grad_(False)  # processes would wait for gradients that never come
    if plain.echo is not None and not profile.loss.echo:
        plain.echo.requires_grad_(False)
    optimizer = OPTIMIZERS.from_component(training.optimizer, plain, training.lr, training.weight_decay)
    average = average_weights(plain, training.ema_decay) if training.ema_decay else None
    if found is not None:
        load_weights(plain, found.folder / f"{MODEL}.safetensors")
        if same_optimizer(before, profile):
            load_optimizer_tensors(optimizer, plain, read_tensors(found.folder, OPTIMIZER))
        if average is not None:
            load_weights(average.module, found.folder / f"{EMA}.safetensors")
            average.n_averaged.fill_(TrainingState.from_json(found.state["training"]).step)
    model, prepared = accelerator.prepare(plain, optimizer)
    if accelerator.scaler is not None and found is not None and found.state.get("scaler"):
        accelerator.scaler.load_state_dict(found.state["scaler"])
    adversary = _adversary(profile, plain, accelerator, found) if profile.model.mode == "vae_gan" else None
    objective = build_objective(profile, plain.levels, add_up=partial(accelerator.reduce, reduction="sum"))
    schedule = kl_schedule(profile)
    memory: dict[str, Stateful] = {"balancing": objective.balancer, "kl_schedule": schedule}
    memory |= adversary.memory if adversary is not None else {}
    if found is not None:
        known = remembered(memory, before, profile)
        recall({name: memory[name] for name in known}, found.state.get("memory", {}))
    clip_norm = training.clip_norm
    taught_by = None if teacher is None else load_teacher(teacher, accelerator.device)
    return Learner(
        accelerator, model, plain, prepared, objective, average, clip_norm, adversary, memory, schedule, taught_by
    )


def recall(memory: Mapping[str, Stateful], states: Mapping[str, Any]) -> None:
    """Bring everything to where a checkpoint left it; what is new since then begins as new.

    Raises:
        DamagedError: a state is not one of its kind.
    """
    for name in memory.keys() & states.keys():
        try:
            memory[name].load_state_dict(states[name])
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"the checkpoint's memory of {name} is not usable: {error!r}") from error


def _adversary(
    profile: Profile, generator: MusicTransformerVAEGAN, accelerator: Accelerator, found: Found | None
) -> Adversary:
    section, loss = profile.discriminator, profile.loss
    plain = build_discriminator(profile, generator).to(accelerator.device)
    optimizer = discriminator_optimizer(plain, section.lr)
    if found is not None:
        load_weights(plain, found.folder / f"{DISCRIMINATOR}.safetensors")
        load_optimizer_tensors(optimizer, plain, read_tensors(found.folder, DISCRIMINATOR_OPTIMIZER))
    stabiliser = Stabiliser(
        warm_start=section.warm_start,
        skip_above=section.skip_above,
        skip_below=section.skip_below,
        measure_every=section.measure_every,
        weight_cap=section.weight_cap,
        harm=section.harm,
        r1_every=section.r1_every,
    )
    penalties = Penalties(r1=section.r1, r1_every=section.r1_every, gradient_penalty=section.gradient_penalty)
    return Adversary(
        accelerator,
        _shared_out(plain, accelerator),
        plain,
        optimizer,
        stabiliser,
        {ADVERSARIAL: loss.adversarial, FEATURE_MATCHING: loss.feature_matching},
        penalties,
        None if accelerator.scaler is None else GradScaler(accelerator.device.type),
    )


def _shared_out(discriminator: nn.Module, accelerator: Accelerator) -> nn.Module:
    """As Accelerate wraps it; what it is told of processes is for this model alone, as others may follow."""
    handler = accelerator.ddp_handler
    if handler is not None:
        handler.find_unused_parameters = True  # at first some of its parts are not heard
    try:
        model: nn.Module = accelerator.prepare(discriminator)
    finally:
        if handler is not None:
            handler.find_unused_parameters = False
    return model
