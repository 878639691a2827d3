"""A model's report as text."""

from typing import TYPE_CHECKING

from aurl.cli.output import table

if TYPE_CHECKING:
    from aurl.model.build import ModelReport

HEADINGS = ("part", "parameters", "weights MiB", "optimizer MiB", "activations MiB", "MFLOP/token")
MIB = 2**20
SUMS = (
    "total_parameters",
    "parameters",
    "weight_bytes",
    "optimizer_bytes",
    "activation_bytes",
    "training_bytes",
    "forward_flops_per_token",
)
"""What a report adds up."""


def sums(report: "ModelReport") -> dict[str, object]:
    """What the report's fields add up to, by name."""
    return {name: getattr(report, name) for name in SUMS}


def text(report: "ModelReport") -> str:
    """A row for each part, their sum, and what a step and a piece take."""
    rows = [
        (
            name,
            part.parameters,
            part.weight_bytes,
            part.optimizer_bytes,
            part.activation_bytes,
            part.forward_flops_per_token,
        )
        for name, part in report.parts.items()
    ]
    total = ("total", *(sum(numbers) for numbers in list(zip(*rows, strict=True))[1:]))
    learning = (f"adapters: {report.adapters:,} parameters learn, the others do not",) if report.adapters else ()
    lines = (
        table([HEADINGS, *(_cells(*row) for row in (*rows, total))]),
        *learning,
        f"a training step on {step(report)}",
        f"generation: {report.cache_bytes_per_token / 2**10:,.1f} KiB of cache per token",
    )
    return "\n".join(lines)


def step(report: "ModelReport") -> str:
    """What a training step takes."""
    window, flops = f"{report.batch_size} × {report.seq_len} tokens", report.training_flops_per_step
    return f"{window}: {report.training_bytes / MIB:,.0f} MiB, {flops / 1e9:,.1f} GFLOP"


def _cells(name: str, parameters: int, *numbers: float) -> tuple[str, ...]:
    *sizes, flops = numbers
    return name, f"{parameters:,}", *(f"{size / MIB:,.1f}" for size in sizes), f"{flops / 1e6:,.3f}"
