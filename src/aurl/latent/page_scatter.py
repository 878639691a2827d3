"""Points on a plane as inline SVG: pointing at one tells what it is; with JavaScript the colours can be chosen."""

from collections.abc import Sequence

from aurl.latent.project import Projection
from aurl.latent.project_colours import Colouring, colourings
from aurl.page import text

SIZE, MARGIN, RADIUS = 640, 16, 3.2
STYLE = """
.scatter { display: grid; grid-template-columns: minmax(0, 3fr) minmax(8rem, 1fr); gap: 1rem; }
.scatter figcaption { grid-column: 1 / -1; } .scatter svg { border: 1px solid var(--line); border-radius: .5rem; }
.scatter circle { stroke: var(--back); stroke-width: .5; }
.scatter ul { list-style: none; padding: 0; margin: 0; font-size: .86rem; columns: 8rem; }
.scatter i { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%; margin-right: .4rem; }
.scatter select { font: inherit; }
"""
SCRIPT = """
for (const figure of document.querySelectorAll('.scatter')) {
  const chosen = figure.querySelector('select'), points = figure.querySelectorAll('circle');
  chosen.hidden = false;
  chosen.onchange = () => {
    const way = figure.querySelectorAll('ul')[chosen.selectedIndex];
    const colours = way.dataset.colours.split(' '), palette = way.dataset.palette.split(' ');
    points.forEach((point, place) => point.setAttribute('fill', palette[colours[place]]));
    figure.querySelectorAll('ul').forEach(other => { other.hidden = other !== way; });
  };
}
"""


def scatter(found: Projection) -> str:
    """The points, coloured in the first way; the others wait to be chosen."""
    ways = colourings(found)
    if not ways:
        return ""
    places = _places(found.points)
    told = [_told(found, ways, number) for number in range(len(places))]
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" fill="{colour}"><title>{text(words)}</title></circle>'
        for (x, y), colour, words in zip(places, ways[0].colours, told, strict=True)
    )
    title = f"{found.level} latents, {found.method}"
    choice = "".join(f"<option>{text(way.name)}</option>" for way in ways)
    svg = f'<svg viewBox="0 0 {SIZE} {SIZE}" role="img" aria-label="{text(title)}">{dots}</svg>'
    legends = "".join(_legend(way, hidden=bool(number)) for number, way in enumerate(ways))
    head = f"<figcaption>{text(title)}, coloured by {text(ways[0].name)} <select hidden>{choice}</select></figcaption>"
    return f'<figure class="scatter">{head}{svg}<div>{legends}</div></figure>'


def _places(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """In units of the picture, with the same scale on both axes where that can be."""
    across, up = zip(*points, strict=True)
    room = SIZE - 2 * MARGIN
    wide, tall = (max(values) - min(values) or 1.0 for values in (across, up))
    return [(MARGIN + room * (x - min(across)) / wide, SIZE - MARGIN - room * (y - min(up)) / tall) for x, y in points]


def _told(found: Projection, ways: Sequence[Colouring], number: int) -> str:
    facts = [f"{way.name}: {way.values[number]}" for way in ways if way.values[number]]
    return "\n".join([found.names[number], *facts])


def _legend(way: Colouring, *, hidden: bool) -> str:
    palette = list(dict.fromkeys(way.colours))
    place = {colour: str(number) for number, colour in enumerate(palette)}
    colours = " ".join(place[colour] for colour in way.colours)
    entries = "".join(
        f'<li><i style="background:{colour}"></i>{text(name)}</li>' for name, colour in way.legend.items()
    )
    mark = " hidden" if hidden else ""
    return f'<ul data-colours="{colours}" data-palette="{" ".join(palette)}"{mark}>{entries}</ul>'
