"""`aurl inspect-latent stats | metrics | project`: what the latents of a model say, in numbers and pictures."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aurl.cli.inspect_latent_files import (
    LevelName,
    RunName,
    Seed,
    Subject,
    Windows,
    Written,
    check_free,
    check_level,
    give,
    opened,
)
from aurl.cli.output import Output, table

if TYPE_CHECKING:
    from aurl.latent.metrics.scores import LevelMetrics, Score
    from aurl.latent.project import Projection
    from aurl.latent.stats import LevelStats, Stats

Resamples = Annotated[
    int, typer.Option("--resamples", min=0, metavar="N", help="Of the pieces, for the intervals; 0: no intervals.")
]
Method = Annotated[
    Literal["pca", "tsne", "umap"], typer.Option("--method", help="Principal components, t-SNE or UMAP.")
]
Level = Annotated[LevelName, typer.Option("--level", help="Which latents.")]
EMPTY = "–"


def stats(
    output: Output,
    run: RunName = None,
    *,
    subject: Subject,
    windows: Windows = 128,
    seed: Seed = 0,
    written: Written,
) -> None:
    """Measure how much latents say, what that costs, who listens, and whether the prior knows them."""
    check_free("stats", written)
    with opened(output, run, subject) as loaded, output.progress() as report:
        from aurl.cli.output import plain
        from aurl.latent.report import Finding, remarks_on_stats
        from aurl.latent.report_pictures import stats_picture
        from aurl.latent.stats import latent_stats

        found = latent_stats(loaded, subject.dataset(), split=subject.split, limit=windows, seed=seed, report=report)
    remarks = remarks_on_stats(found)
    finding = Finding("stats", plain(found), remarks, {"stats.png": stats_picture(found)})
    give(output, finding, _stats_text(found), written)


def metrics(
    output: Output,
    run: RunName = None,
    *,
    subject: Subject,
    windows: Windows = 512,
    resamples: Resamples = 100,
    seed: Seed = 0,
    written: Written,
) -> None:
    """Measure which dimension stands for which musical factor: MIG, SAP, and DCI, with intervals."""
    check_free("metrics", written)
    with opened(output, run, subject) as loaded, output.progress() as report:
        from aurl.cli.output import plain
        from aurl.latent.codes_kept import load_codes
        from aurl.latent.metrics.scores import level_metrics
        from aurl.latent.report import Finding, remarks_on_metrics
        from aurl.latent.report_pictures import metrics_picture

        codes = load_codes(loaded, subject.dataset(), split=subject.split, limit=windows, report=report)
        levels = tuple(
            level_metrics(codes, level, resamples=resamples, seed=seed, report=report) for level in codes.levels
        )
    facts = {"run": codes.run, "checkpoint": codes.checkpoint, "split": codes.split, "windows": len(codes.piece)}
    pictures = {"metrics.png": metrics_picture(levels)}
    finding = Finding("metrics", {**facts, "levels": plain(levels)}, remarks_on_metrics(levels), pictures)
    give(output, finding, _metrics_text(levels), written)


def project(
    output: Output,
    run: RunName = None,
    *,
    subject: Subject,
    level: Level = "global",
    method: Method = "pca",
    windows: Windows = 512,
    seed: Seed = 0,
    written: Written,
) -> None:
    """Project latents onto a plane, coloured by what is heard there and by labels of the data set."""
    check_free("project", written)
    with opened(output, run, subject) as loaded, output.progress() as report:
        check_level(loaded, level)
        from aurl.cli.output import plain
        from aurl.latent.codes_kept import load_codes
        from aurl.latent.project import project as onto_plane
        from aurl.latent.project_picture import projection_picture
        from aurl.latent.report import Finding

        codes = load_codes(loaded, subject.dataset(), split=subject.split, limit=windows, report=report)
        found = onto_plane(codes, level, method, seed=seed, report=report)
    facts = {"run": codes.run, "checkpoint": codes.checkpoint, "split": codes.split, **plain(found)}
    finding = Finding("project", facts, (), {"project.png": projection_picture(found)})
    give(output, finding, _project_text(found), written)


COMMANDS = (stats, metrics, project)


def _stats_text(found: "Stats") -> str:
    facts = [
        ("checkpoint", f"{found.checkpoint} of {found.run}"),
        ("windows", f"{found.windows:,} of the {found.split} split, {found.tokens:,} targets"),
        ("nats per token", f"{found.nats:.4f} with latents of the music, {found.prior_nats:.4f} with the prior's"),
        ("", f"{found.mean_nats:.4f} with the posteriors' means ({found.accuracy:.1%} of targets right)"),
        ("bound", f"{found.bound:.4f} (negative ELBO)"),
        ("shuffled", f"{found.shuffled_cost:.4f} lost with the latents of other music"),
    ]
    head = ("level", "active", "of", "nats", "per token", "in common", "told apart", "MMD²", "p", "shuffled")
    return "\n\n".join((table(facts), table([head, *map(_stats_row, found.levels)])))


def _stats_row(level: "LevelStats") -> tuple[str, ...]:
    gap = EMPTY if level.gap is None else f"{level.gap:.2f}"
    return (
        level.name,
        str(level.active),
        str(level.size),
        f"{level.kl:.2f}",
        f"{level.kl_per_token:.4f}",
        gap,
        f"{level.told_apart:.1%}",
        f"{level.discrepancy:.4f}",
        f"{level.p_value:.3f}",
        f"{level.shuffled_cost:.4f}",
    )


def _metrics_text(levels: "tuple[LevelMetrics, ...]") -> str:
    head = ("level", "latents", "pieces", "MIG", "SAP", "disentanglement", "completeness", "informativeness")
    scores = [
        [level.mig, level.sap, level.disentanglement, level.completeness, level.informativeness] for level in levels
    ]
    rows = [
        (level.name, f"{level.latents:,}", f"{level.pieces:,}", *map(_score, own))
        for level, own in zip(levels, scores, strict=True)
    ]
    chance = [("", "", "by chance", *(f"{score.chance:.3f}" for score in own)) for own in scores]
    both = [row for pair in zip(rows, chance, strict=True) for row in pair]
    return "\n\n".join([table([head, *both]), *map(_factors_text, levels)])


def _score(score: "Score") -> str:
    return f"{score.value:.3f} ({score.low:.3f}–{score.high:.3f})"


def _factors_text(level: "LevelMetrics") -> str:
    head = (level.name, "explained", "MIG", "SAP", "completeness", "best dimension", "it tells")
    rows = [
        (
            one.name,
            f"{one.explained:.1%}",
            f"{one.mig:.3f}",
            f"{one.sap:.3f}",
            f"{one.completeness:.2f}",
            str(one.code),
            f"{one.told:.1%}",
        )
        for one in level.factors
    ]
    return table([head, *rows])


def _project_text(found: "Projection") -> str:
    from aurl.latent.project_colours import colourings

    names = ", ".join(way.name for way in colourings(found))
    rows = [("points", f"{len(found.points):,} {found.level} latents"), ("method", found.method)]
    if found.explained:
        rows.append(("axes", " and ".join(f"{share:.1%}" for share in found.explained) + " of the variance"))
    return table([*rows, ("coloured by", names)])
