"""From a profile to models and optimizers, as new or as a checkpoint left them, shared out by Accelerate."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from aurl.errors import DamagedError
from aurl.loss.objective import build_objective
from aurl.loss.penalties import Penalties
from aurl.loss.terms import ADVERSARIAL, FEATURE_MATCHING
from aurl.model.build import build_discriminator, build_model
from aurl.model.lora import adapt
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.model.weights import load_weights
from aurl.profile import Profile
from aurl.tokens.codec import Codec
from aurl.training.adversary import Adversary, discriminator_optimizer
from aurl.training.averaging import NEVER, Averages, LastAverage, average_weights
from aurl.training.checkpoint import (
    DISCRIMINATOR,
    DISCRIMINATOR_OPTIMIZER,
    EMA,
    MODEL,
    OPTIMIZER,
    SWA,
    Found,
    read_tensors,
)
from aurl.training.clipping import CLIPPING
from aurl.training.distillation import load_teacher
from aurl.training.optim import OPTIMIZERS, load_optimizer_tensors
from aurl.training.phases import kl_schedule
from aurl.training.plateau import Plateau
from aurl.training.random_state import seed_process
from aurl.training.sharding import FULL, Sharded, check_sharding, followed, load_average
from aurl.training.splitting import Splitting
from aurl.training.stabiliser import Stabiliser
from aurl.training.stages import remembered, same_optimizer
from aurl.training.start import load_start
from aurl.training.state import Stateful, TrainingState
from aurl.training.steps import Learner


def build_learner(
    profile: Profile,
    codec: Codec,
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
    """
    check_sharding(profile)
    training = profile.training
    seed_process(training.seed, rank=0)
    plain = _model(profile, codec, styles, found, start)
    model, optimizer, averages = _trained(profile, plain, accelerator, found, before)
    splitting = Splitting(partial(accelerator.reduce, reduction="sum"))
    objective = build_objective(profile, plain.levels, add_up=splitting.add_up, time_base=codec.time_base)
    learner = Learner(
        accelerator,
        model,
        plain,
        optimizer,
        objective,
        averages,
        CLIPPING.from_component(training.clipping),
        _adversary(profile, plain, accelerator, found) if profile.model.mode == "vae_gan" else None,
        kl_schedule=kl_schedule(profile),
        plateau=Plateau(factor=training.plateau_factor, patience=training.plateau_patience),
        splitting=splitting,
        teacher=None if teacher is None else load_teacher(teacher, accelerator.device),
    )
    _remember(learner, profile, found, before)
    return learner


def _model(
    profile: Profile, codec: Codec, styles: Sequence[str], found: Found | None, start: Path | None
) -> MusicTransformerVAEGAN:
    training = profile.training
    plain = build_model(profile, codec, styles)
    plain.level_dropout = profile.latent.level_dropout
    if start is not None and found is None:
        load_start(plain, start)
    if training.lora is not None:
        adapt(plain, **training.lora.model_dump())
    if plain.bags is not None and not profile.loss.bag:
        plain.bags.requires_grad_(False)  # processes would wait for gradients that never come
    if plain.echo is not None and not profile.loss.echo:
        plain.echo.requires_grad_(False)
    if found is not None:
        load_weights(plain, found.folder / f"{MODEL}.safetensors")
    return plain


def _memory(learner: Learner) -> dict[str, Stateful]:
    """Name → what learns beside weights and their optimizers."""
    last, adversary = learner.averages.last, learner.adversary
    return {
        "balancing": learner.objective.balancer,
        "clipping": learner.clipping,
        "kl_schedule": learner.kl_schedule,
        "plateau": learner.plateau,
        "splitting": learner.splitting,
        **({} if last is None else {"last_average": last}),
        **({} if adversary is None else adversary.memory),
    }


def _trained(
    profile: Profile,
    plain: MusicTransformerVAEGAN,
    accelerator: Accelerator,
    found: Found | None,
    before: Profile | None,
) -> tuple[nn.Module, Optimizer, Averages]:
    """What is trained as Accelerate wraps it, what trains it, and what follows it."""
    training = profile.training
    model = _placed(profile, plain, accelerator)
    averages = _averages(profile, followed(model, plain))
    optimizer = OPTIMIZERS.from_component(training.optimizer, plain, training.lr, training.weight_decay)
    if found is not None:
        if same_optimizer(before, profile):
            load_optimizer_tensors(optimizer, plain, read_tensors(found.folder, OPTIMIZER))
        _load_averages(averages, plain, found)
    model, optimizer = _prepared(model, optimizer, accelerator)
    if accelerator.scaler is not None:  # it is the accelerator's, and knows what was before a return to the start
        kept = None if found is None else found.state.get("scaler")
        accelerator.scaler.load_state_dict(kept or GradScaler(accelerator.device.type).state_dict())
    return model, optimizer, averages


def _placed(profile: Profile, plain: MusicTransformerVAEGAN, accelerator: Accelerator) -> nn.Module:
    """The model where it is to be; its weights are the same object's, or parts of them where they are divided."""
    if profile.training.sharding == FULL and accelerator.num_processes > 1:
        return Sharded(plain, accelerator)
    return plain.to(accelerator.device)


def _prepared(model: nn.Module, optimizer: Optimizer, accelerator: Accelerator) -> tuple[nn.Module, Optimizer]:
    if isinstance(model, Sharded):
        return model, accelerator.prepare(optimizer)
    prepared: tuple[nn.Module, Optimizer] = accelerator.prepare(model, optimizer)
    return prepared


def _averages(profile: Profile, followed: nn.Module) -> Averages:
    training = profile.training
    ema = average_weights(followed, training.ema_decay) if training.ema_decay else None
    if training.swa_start == NEVER:
        return Averages(ema)
    return Averages(ema, LastAverage(followed, start=training.swa_start, lr_ratio=training.swa_lr_ratio))


def _load_averages(averages: Averages, plain: MusicTransformerVAEGAN, found: Found) -> None:
    ema, last = averages.ema, averages.last
    if ema is not None:
        load_average(ema, plain, found.folder / f"{EMA}.safetensors")
        ema.n_averaged.fill_(TrainingState.from_json(found.state["training"]).step)
    path = found.folder / f"{SWA}.safetensors"
    if last is not None and path.exists():
        load_average(last.average, plain, path)


def _remember(learner: Learner, profile: Profile, found: Found | None, before: Profile | None) -> None:
    """Keep in mind what learns beside weights and their optimizers, from where the checkpoint left it."""
    learner.memory |= _memory(learner)
    if found is not None:
        known = remembered(learner.memory, before, profile)
        recall({name: learner.memory[name] for name in known}, found.state.get("memory", {}))
    if before is not None and learner.adversary is not None:
        learner.adversary.stabiliser.begin_stage()


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
