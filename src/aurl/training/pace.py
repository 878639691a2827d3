"""How fast training is, what share of the hardware that takes, and how much memory."""

import torch

from aurl.model.build import describe
from aurl.training.hardware import MIB, matmul_peak, resident_mib
from aurl.training.session import Session


class Pace:
    """Measures one sitting; only its main process measures the peak.

    Args:
        session: what is trained.
    """

    def __init__(self, session: Session) -> None:
        accelerator, processes = session.learner.accelerator, session.processes
        self._device = accelerator.device
        self._share_of_a_token = 0.0
        if processes.is_main:
            with torch.random.fork_rng(devices=[]):
                report = describe(session.profile)
            per_token = report.training_flops_per_step / (report.batch_size * report.seq_len)
            half = torch.float16 if accelerator.mixed_precision == "fp16" else torch.bfloat16
            dtype = torch.float32 if accelerator.mixed_precision == "no" else half
            peak = matmul_peak(self._device, dtype, torch.get_num_threads())
            self._share_of_a_token = per_token / (peak * processes.world)

    def metrics(self, tokens_per_second: float) -> dict[str, float]:
        """Everything by its name in the log; targets per second of all processes, memory of this one."""
        found = {
            "tokens_per_second": tokens_per_second,
            "share_of_peak": tokens_per_second * self._share_of_a_token,
            "memory_mib": resident_mib(),
        }
        if self._device.type == "cuda":
            found["cuda_mib"] = torch.cuda.max_memory_allocated(self._device) / MIB
        return found
