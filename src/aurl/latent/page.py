"""Everything that was found of the latents of a model on one page that needs nothing but itself."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from aurl import page
from aurl.errors import DamagedError
from aurl.latent.metrics.scores import NAMES, LevelMetrics
from aurl.latent.page_scatter import SCRIPT, STYLE, scatter
from aurl.latent.project import Projection
from aurl.latent.report import Finding
from aurl.latent.stats import Stats
from aurl.page import Section

TITLES = {
    "stats": "What latents say, and what they cost",
    "metrics": "Which dimension stands for what",
    "project": "Latents on a plane",
    "attributes": "Directions of attributes",
    "traverse": "Along one direction",
    "interpolate": "Between two songs",
}
"""Name of a finding → heading, in the order of the page."""
REMARKS = "remarks"
PICTURE_STYLE = "img { max-width: 100%; height: auto; background: white; } .remarks li { margin: .3rem 0; }"
Body = Callable[[Mapping[str, Any]], str]


def latents_page(findings: Sequence[Finding], *, title: str, subtitle: str = "") -> str:
    """The page.

    Args:
        findings: at most one of each name.
        title: of the page.
        subtitle: under it.

    Raises:
        DamagedError: facts are not those of such a finding.
    """
    order = list(TITLES)
    sections = []
    for finding in sorted(findings, key=lambda one: order.index(one.name)):
        body = _checked(finding)
        sections.append(Section(TITLES[finding.name], _remarks(finding.remarks) + body + _pictures(finding)))
    return page.page(title, sections, subtitle=subtitle, style=STYLE + PICTURE_STYLE, script=SCRIPT)


def _checked(finding: Finding) -> str:
    try:
        return BODIES[finding.name](finding.facts)
    except (ValidationError, KeyError, TypeError, ValueError, IndexError) as error:
        raise DamagedError(
            f"{finding.name}.json holds something else than aurl inspect-latent {finding.name} writes",
            hint=f"make it again: aurl inspect-latent {finding.name} --force",
        ) from error


def _remarks(remarks: Sequence[str]) -> str:
    return f'<ul class="remarks">{"".join(f"<li>{page.text(one)}</li>" for one in remarks)}</ul>' if remarks else ""


def _pictures(finding: Finding) -> str:
    """PNG inside the page; what is drawn as SVG already is not shown twice."""
    if finding.name in DRAWN:
        return ""
    shown = {name: base64.b64encode(content).decode("ascii") for name, content in (finding.pictures or {}).items()}
    return "".join(
        f'<img alt="{page.text(name)}" src="data:image/png;base64,{content}"/>' for name, content in shown.items()
    )


def _stats(facts: Mapping[str, Any]) -> str:
    found = TypeAdapter(Stats).validate_python(facts)
    told = page.cards(
        {
            "nats per token, posterior": found.nats,
            "nats per token, prior": found.prior_nats,
            "negative ELBO": found.bound,
            "accuracy": found.accuracy,
            "lost when shuffled": found.shuffled_cost,
            "windows": found.windows,
        }
    )
    head = ("level", "active", "of", "nats", "nats per token", "in common", "told apart", "MMD²", "p", "shuffled costs")
    rows = [
        (
            level.name,
            level.active,
            level.size,
            level.kl,
            level.kl_per_token,
            "–" if level.gap is None else level.gap,
            level.told_apart,
            level.discrepancy,
            level.p_value,
            level.shuffled_cost,
        )
        for level in found.levels
    ]
    bars = [
        page.bars(f"{level.name}: nats of each dimension", _numbered(level.kl_of_dimensions), unit="nats")
        for level in found.levels
        if level.kl_of_dimensions is not None
    ]
    return told + page.table(head, rows) + page.charts(bars)


def _numbered(values: Sequence[float]) -> dict[str, float]:
    return {str(number): value for number, value in enumerate(values)}


def _metrics(facts: Mapping[str, Any]) -> str:
    levels = TypeAdapter(tuple[LevelMetrics, ...]).validate_python(facts["levels"])
    head = ("level", "latents", *NAMES)
    rows = [(level.name, level.latents, *(_score(getattr(level, name)) for name in NAMES)) for level in levels]
    parts = [page.table(head, rows)]
    for level in levels:
        own = [
            (factor.name, factor.explained, factor.mig, factor.sap, factor.completeness, factor.code, factor.told)
            for factor in level.factors
        ]
        names = (f"{level.name}: factor", "explained", "MIG", "SAP", "completeness", "best dimension", "it tells")
        parts.append(page.table(names, own))
    return "".join(parts)


def _score(score: Any) -> list[str]:
    return [f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})", f"chance {score.chance:.3f}"]


def _project(facts: Mapping[str, Any]) -> str:
    return scatter(TypeAdapter(Projection).validate_python(facts))


def _table(facts: Mapping[str, Any]) -> str:
    """Facts that are a table already."""
    return page.table(facts["table"]["head"], [[_cell(cell) for cell in row] for row in facts["table"]["rows"]])


def _cell(value: Any) -> Any:
    return "–" if value is None else value


BODIES: Mapping[str, Body] = {
    "stats": _stats,
    "metrics": _metrics,
    "project": _project,
    "attributes": _table,
    "traverse": _table,
    "interpolate": _table,
}
"""Name of a finding → what the page shows of its facts."""
DRAWN = ("project",)
"""Findings whose picture the page draws itself."""
