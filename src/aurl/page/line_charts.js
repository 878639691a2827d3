// What all curves were at the step that is pointed at.
(() => {
  const charts = [...document.querySelectorAll("figure.curves")].map(figure => {
    const svg = figure.querySelector("svg");
    const [x0, x1, y0, y1, left, right, top, low] = svg.dataset.box.split(" ").map(Number);
    const make = (kind) => {
      const one = document.createElementNS(svg.namespaceURI, kind);
      one.setAttribute("class", "at");
      one.style.display = "none";
      return svg.appendChild(one);
    };
    const at = make("line"), told = make("text");
    at.setAttribute("y1", top);
    at.setAttribute("y2", low);
    told.setAttribute("y", top + 10);
    const lines = [...svg.querySelectorAll("polyline")].map(line => ({
      points: line.getAttribute("points").split(" ").map(point => point.split(",").map(Number)),
      shown: figure.querySelector(`b[data-line="${line.dataset.line}"]`),
    }));
    for (const line of lines) line.last = line.shown.textContent;
    return { svg, at, told, lines, x0, x1, y0, y1, left, right, top, low };
  });
  const short = value => Number(value.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 9 });
  const show = step => {
    for (const c of charts) {
      const x = c.left + (step - c.x0) / (c.x1 - c.x0 || 1) * (c.right - c.left), inside = x >= c.left && x <= c.right;
      c.at.style.display = c.told.style.display = inside ? "" : "none";
      c.at.setAttribute("x1", x);
      c.at.setAttribute("x2", x);
      c.told.setAttribute("x", x > c.right - 90 ? x - 5 : x + 5);
      c.told.setAttribute("text-anchor", x > c.right - 90 ? "end" : "start");
      c.told.textContent = short(step);
      for (const { points, shown } of c.lines) {
        const near = points.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a);
        shown.textContent = short(c.y0 + (c.low - near[1]) / (c.low - c.top) * (c.y1 - c.y0));
      }
    }
  };
  const rest = () => charts.forEach(c => {
    c.at.style.display = c.told.style.display = "none";
    c.lines.forEach(line => { line.shown.textContent = line.last; });
  });
  for (const c of charts) {
    c.svg.addEventListener("pointermove", event => {
      const box = c.svg.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width * c.svg.viewBox.baseVal.width;
      const share = Math.min(1, Math.max(0, (x - c.left) / (c.right - c.left)));
      show(Math.round(c.x0 + share * (c.x1 - c.x0)));
    });
    c.svg.addEventListener("pointerleave", rest);
  }
})();
