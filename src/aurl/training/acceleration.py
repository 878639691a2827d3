"""Accelerate, with none of its silent defaults left to themselves."""

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin

from aurl.profile import Profile
from aurl.training.hardware import choose_precision
from aurl.training.processes import Processes, environment_world


def start_accelerator(
    profile: Profile, *, device: str | None = None, precision: str | None = None
) -> tuple[Accelerator, Processes]:
    """Join the other processes and settle device and precision, the same in all of them.

    Args:
        profile: for accumulation and precision.
        device: "cpu" leaves a GPU alone.
        precision: what an earlier sitting settled on.
    """
    # An earlier run in this process may have had another device or precision; Accelerate would keep to them.
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    several_on_cpu = environment_world() > 1 and not torch.cuda.is_available()
    partial = PartialState(cpu=device == "cpu" or several_on_cpu)
    processes = Processes(partial.process_index, partial.num_processes)
    if precision is None:
        precision = processes.from_main(choose_precision(profile.training.precision, partial.device))
    accelerator = Accelerator(
        mixed_precision="no" if precision == "fp32" else precision,
        cpu=partial.device.type == "cpu",
        gradient_accumulation_plugin=GradientAccumulationPlugin(
            num_steps=profile.training.accumulation, adjust_scheduler=False, sync_with_dataloader=False
        ),
        kwargs_handlers=[
            # The only buffers that change are running statistics, which are shared after each update.
            DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
        ],
    )
    return accelerator, processes
