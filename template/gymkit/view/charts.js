// Part of the template: changes belong there (`copier update` merges this file).
// The two kinds of charts. They are drawn here: the smallest library that draws them is larger than all of these scripts,
// and most set styles that the page's policy does not allow.

/** Bars with a value above and a name below. */
function bars(label, values) {
  const width = 320, height = 140, top = 16, bottom = 18;
  const most = Math.max(...values.map(({ value }) => value), 1e-9);
  const step = width / values.length;
  const every = Math.ceil(values.length / 8); // Names of all would stand in each other's way.
  const drawn = values.flatMap(({ name, value, text }, at) => {
    const length = (height - top - bottom) * (value / most);
    const middle = (at + 0.5) * step;
    const bar = draw("rect", {
      class: "bar", x: at * step + Math.min(2, step / 8), width: Math.min(step * 0.8, 60), y: height - bottom - length, height: length, rx: 2,
    }, draw("title", {}, `${name}: ${text}`));
    const thick = Math.min(step * 0.8, 60);
    bar.setAttribute("x", middle - thick / 2);
    const words = [];
    if (values.length <= 12) words.push(draw("text", { x: middle, y: height - bottom - length - 5, "text-anchor": "middle" }, text));
    if (at % every === 0) words.push(draw("text", { x: middle, y: height - 4, "text-anchor": "middle" }, name));
    return [bar, ...words];
  });
  const line = draw("line", { class: "axis", x1: 0, x2: width, y1: height - bottom, y2: height - bottom });
  const said = `${label}: ${values.map(({ name, text }) => `${name}: ${text}`).join(", ")}`;
  return draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said }, line, ...drawn);
}

/** A line through points, each with x and y. */
function curve(label, points) {
  const width = 380, height = 170, left = 54, bottom = 20, top = 10, right = 10;
  const xs = points.map(({ x }) => x), ys = points.map(({ y }) => y);
  const extent = (values) => [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  const [x0, x1] = extent(xs), [y0, y1] = extent(ys);
  const px = (x) => left + ((width - left - right) * (x - x0)) / (x1 - x0 || 1);
  const py = (y) => height - bottom - ((height - bottom - top) * (y - y0)) / (y1 - y0 || 1);
  const path = points.map(({ x, y }, at) => `${at ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("");
  const marks = [y0, (y0 + y1) / 2, y1].flatMap((y) => [
    draw("line", { class: "axis", x1: left, x2: width - right, y1: py(y), y2: py(y) }),
    draw("text", { x: left - 6, y: py(y) + 4, "text-anchor": "end" }, number(y)),
  ]);
  const ends = [draw("text", { x: left, y: height - 4 }, number(x0)), draw("text", { x: width - right, y: height - 4, "text-anchor": "end" }, number(x1))];
  const dots = points.length <= 50 ? points.map(({ x, y }) =>
    draw("circle", { class: "dot", cx: px(x), cy: py(y), r: 3 }, draw("title", {}, `step ${number(x)}: ${number(y)}`))) : [];
  const said = `${label}: from ${number(ys[0])} at step ${number(xs[0])} to ${number(ys.at(-1))} at step ${number(xs.at(-1))}`;
  return draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said }, ...marks, ...ends, draw("path", { class: "line", d: path }), ...dots);
}
