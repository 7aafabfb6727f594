// Part of the template: changes belong there (`copier update` merges this file).
// Shows what `gymkit view` has found: the numbers, the tables, and an episode at a time.
// What the files say is inserted as text, never as HTML. The two kinds of charts are drawn here: the smallest library
// that draws them is larger than all of this file, and most set styles that the page's policy does not allow.
"use strict";

const ROW = 36; // The height of a table's line, in pixels, as view.css has it.
const TEXT_AT_ONCE = 20_000; // Characters: a browser needs long to lay out millions.
const ITEMS_AT_ONCE = 200;

const element = (id) => document.getElementById(id);
const data = JSON.parse(element("data").textContent);
const [RUN, TASK, REPEAT, STATE, REWARD, KIND, TURNS, CALLS, ERRORS, TOKENS, SECONDS, CHARACTERS, WHERE, AGAIN, PLACE] =
  Array(15).keys();
const episodes = data.episodes;

// ------------------------------------------------------------------------------------------------------- elements

function make(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function draw(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function button(text, act, className = "small") {
  const made = make("button", className, text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

/** A number as it is read: at most four digits that matter. */
function number(value) {
  if (value === null || value === undefined) return "";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(4)));
}

/** A table of a few lines. Columns whose name begins with `#` hold numbers. */
function plain(names, lines) {
  const cell = (tag, value, name) => make(tag, name.startsWith("#") ? "number" : "", value instanceof Node ? value : String(value));
  const head = make("tr", "", ...names.map((name) => cell("th", name.replace("#", ""), name)));
  const body = lines.map((line) => make("tr", "", ...line.map((value, at) => cell("td", value, names[at]))));
  return make("table", "plain", make("thead", "", head), make("tbody", "", ...body));
}

function panel(title, ...children) {
  return make("div", "panel", make("h3", "", title), ...children);
}

function card(title, ...children) {
  return make("section", "card", make("div", "heading", make("h2", "", title)), ...children);
}

/** A text, the first part of it where it is long. */
function long(text, className = "") {
  const pre = make("pre", className, text.slice(0, TEXT_AT_ONCE));
  if (text.length <= TEXT_AT_ONCE) return scrolling(pre);
  const holder = make("div", "", scrolling(pre));
  let shown = TEXT_AT_ONCE;
  const label = () => `Show more (${number(text.length - shown)} characters are left)`;
  const more = button(label(), () => {
    pre.append(text.slice(shown, shown + 5 * TEXT_AT_ONCE));
    shown = Math.min(shown + 5 * TEXT_AT_ONCE, text.length);
    if (shown < text.length) more.textContent = label();
    else more.remove();
  }, "small more");
  holder.append(more);
  return holder;
}

/** Long text scrolls, by the keyboard too. */
function scrolling(pre) {
  requestAnimationFrame(() => {
    if (pre.scrollHeight > pre.clientHeight + 1) pre.tabIndex = 0;
  });
  return pre;
}

// --------------------------------------------------------------------------------------------------------- charts

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

// --------------------------------------------------------------------------------------------------------- tables

/** A table of any length, of which only what is in sight is made. */
class Grid {
  /**
   * @param holder The element that scrolls.
   * @param columns Each with `name`, `value(item)`, and `show(item)`, `width`, `number`, `little` where they apply:
   *   what is `little` is left out on a narrow screen.
   * @param open What Enter and a click do with an item.
   */
  constructor(holder, label, columns, open) {
    Object.assign(this, { holder, columns, open, items: [], at: 0, sorted: null, descending: false });
    this.body = make("tbody", "");
    this.heads = columns.map((column) => this.head(column));
    this.table = make("table", "", make("thead", "", make("tr", "", ...this.heads)), this.body);
    this.table.setAttribute("role", "grid");
    this.table.setAttribute("aria-label", label);
    holder.replaceChildren(this.table);
    this.table.tabIndex = 0;
    holder.addEventListener("scroll", () => requestAnimationFrame(() => this.render()), { passive: true });
    this.table.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.render()).observe(holder);
  }

  head(column) {
    const sort = button(column.name, () => this.sort(column), "");
    const head = make("th", this.classes(column), sort);
    head.scope = "col";
    if (column.width) head.style.width = column.width;
    return head;
  }

  classes(column) {
    return `${column.number ? "number" : ""} ${column.little ? "little" : ""}`.trim();
  }

  show(items) {
    this.all = items;
    this.order();
  }

  sort(column) {
    this.descending = this.sorted === column ? !this.descending : Boolean(column.number);
    this.sorted = column;
    this.order();
  }

  order() {
    this.items = [...this.all];
    if (this.sorted) {
      const { value } = this.sorted;
      const sign = this.descending ? -1 : 1;
      this.items.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === y) return 0;
        if (x === null || x === undefined) return 1; // What is not known comes last.
        if (y === null || y === undefined) return -1;
        return sign * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y);
      });
    }
    this.columns.forEach((column, at) => {
      const sorted = column === this.sorted;
      this.heads[at].setAttribute("aria-sort", sorted ? (this.descending ? "descending" : "ascending") : "none");
      this.heads[at].firstChild.textContent = column.name + (sorted ? (this.descending ? " ↓" : " ↑") : "");
    });
    this.table.setAttribute("aria-rowcount", this.items.length + 1);
    this.at = 0;
    this.holder.scrollTop = 0;
    this.render();
  }

  render() {
    const first = Math.max(0, Math.floor(this.holder.scrollTop / ROW) - 6);
    const last = Math.min(this.items.length, first + Math.ceil((this.holder.clientHeight || 600) / ROW) + 14);
    const lines = [];
    for (let at = first; at < last; at++) lines.push(this.line(at));
    this.body.replaceChildren(this.space(first * ROW), ...lines, this.space((this.items.length - last) * ROW));
    const active = element(`${this.holder.id}-${this.at}`);
    if (active) this.table.setAttribute("aria-activedescendant", active.id);
    else this.table.removeAttribute("aria-activedescendant");
  }

  line(at) {
    const item = this.items[at];
    const made = make("tr", at === this.at ? "at" : "", ...this.columns.map((column) => {
      const shown = column.show ? column.show(item) : column.value(item);
      const text = shown instanceof Node ? shown : typeof shown === "number" ? number(shown) : (shown ?? "");
      const cell = make("td", this.classes(column), text);
      if (cell.textContent.length > 12) cell.title = cell.textContent.slice(0, 300);
      return cell;
    }));
    made.id = `${this.holder.id}-${at}`;
    made.setAttribute("aria-rowindex", at + 2);
    made.addEventListener("click", () => {
      this.at = at;
      this.open(item);
    });
    return made;
  }

  space(height) {
    const cell = make("td", "");
    cell.style.height = `${height}px`;
    const made = make("tr", "space", cell);
    made.setAttribute("aria-hidden", "true");
    return made;
  }

  key(event) {
    if (event.target !== this.table || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.holder.clientHeight / ROW) - 2);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key === "Enter" && this.items[this.at]) this.open(this.items[this.at]);
    else if (event.key in moves) this.move(this.at + moves[event.key]);
    else return;
    event.preventDefault();
  }

  move(to) {
    this.at = Math.max(0, Math.min(this.items.length - 1, to));
    const head = this.heads[0].offsetHeight;
    const [top, height] = [this.at * ROW, this.holder.clientHeight - head];
    if (top < this.holder.scrollTop) this.holder.scrollTop = top;
    else if (top + ROW > this.holder.scrollTop + height) this.holder.scrollTop = top + ROW - height;
    this.render();
  }
}

/** A task's name of which, where there is no room, the middle is left out: its end tells it from others. */
function named(task) {
  const end = [...task].slice(-8).join("");
  return make("span", "task", make("span", "", task.slice(0, task.length - end.length)), make("span", "end", end));
}

// ------------------------------------------------------------------------------------------------------- overview

function nameOf(run) {
  return data.runs[run].file;
}

function showRun(run) {
  const { reward } = run;
  const numbers = make("dl", "numbers");
  const add = (name, value, small = "") => {
    const shown = make("dd", "", value);
    if (small) shown.append(" ", make("small", "", small));
    numbers.append(make("div", "", make("dt", "", name), shown));
  };
  add("Mean reward", reward ? number(reward.mean) : "none", reward ? `sd ${number(reward.std)}, median ${number(reward.median)}` : "");
  add("Episodes", number(run.episodes), `${number(run.graded)} graded`);
  add("Tasks", number(run.tasks), run.repeats > 1 ? `up to ${run.repeats} times each` : "");
  add("Turns", number(run.turns.mean), `at most ${number(run.turns.max)}`);
  if (run.tokens) add("Tokens", number(run.tokens.mean), `at most ${number(run.tokens.max)}`);
  add("Characters", number(run.characters.mean), `at most ${number(run.characters.max)}`);
  if (run.seconds) add("Seconds", number(run.seconds.mean), `median ${number(run.seconds.p50)}, 90% within ${number(run.seconds.p90)}`);
  const panels = make("div", "panels");
  if (run.distribution.length) {
    const values = run.distribution.map(([low, high, count]) => ({
      name: low === high || run.distribution.length > 8 ? number(low) : `${number(low)} to ${number(high)}`, value: count, text: number(count),
    }));
    panels.append(panel("Rewards", bars("Episodes by reward", values)));
  }
  if (run.pass_at_k.length > 1) {
    const values = run.pass_at_k.map(({ k, value }) => ({ name: `@${k}`, value, text: number(value) }));
    panels.append(panel(`pass@k (reward at least ${number(run.passes_at)})`, bars("pass at k", values)));
  }
  const kinds = ["masked", "failed"].flatMap((state) =>
    Object.entries(run[state]).map(([kind, count]) => [state, kind, number(count)]));
  if (kinds.length) panels.append(panel("Without a reward that counts", plain(["", "kind", "#episodes"], kinds)));
  if (run.tools.length) {
    const lines = run.tools.map(({ tool, calls, errors, episodes: used }) => [
      make("code", "", tool), number(calls), make("span", errors ? "bad" : "", number(errors)), number(used),
    ]);
    panels.append(panel("Tools", plain(["tool", "#calls", "#errors", "#episodes"], lines)));
  }
  const metrics = Object.entries(run.metrics);
  if (metrics.length) {
    const lines = metrics.map(([name, { mean, std, min, max }]) => [name, ...[mean, std, min, max].map(number)]);
    panels.append(panel("Other numbers", plain(["", "#mean", "#sd", "#least", "#most"], lines)));
  }
  return card(run.file, numbers, panels);
}

function showComparison(found, at) {
  const { test } = found;
  const signed = (value) => (value > 0 ? "+" : "") + number(value);
  const numbers = make("dl", "numbers");
  const add = (name, value, small = "") => {
    numbers.append(make("div", "", make("dt", "", name), make("dd", "", value, " ", make("small", "", small))));
  };
  add("Mean reward", `${number(found.before)} → ${number(found.after)}`, "by task");
  add("Difference", signed(test.mean), `95% from ${signed(test.low)} to ${signed(test.high)}`);
  add("p", test.p < 0.0001 ? "< 0.0001" : number(test.p), `paired randomisation test, ${test.exact ? "exact" : "normal approximation"}`);
  add("Tasks", `${number(found.up)} up, ${number(found.down)} down`, `${number(found.same)} the same`);
  const alone = found.only_baseline + found.only_candidate;
  const holder = make("div", "grid");
  holder.id = `comparison-${at}`;
  const made = card(`${found.candidate} against ${found.baseline}`, numbers, holder);
  if (alone) made.append(make("p", "hint", `${number(alone)} tasks are graded in one of the two alone.`));
  const grid = new Grid(holder, "Tasks of both runs", [
    { name: "task", value: ({ task }) => task, show: ({ task }) => named(task) },
    { name: "before", value: ({ before }) => before, number: true, width: "6rem", little: true },
    { name: "after", value: ({ after }) => after, number: true, width: "clamp(4rem, 16vw, 6rem)" },
    {
      name: "change", value: ({ before, after }) => after - before, number: true, width: "clamp(4.6rem, 20vw, 6rem)",
      show: ({ before, after }) => make("span", after > before ? "up" : after < before ? "down" : "", signed(after - before)),
    },
  ], ({ task }) => filterByTask(task, ""));
  grid.show([...found.tasks].sort((a, b) => Math.abs(b.after - b.before) - Math.abs(a.after - a.before)));
  return made;
}

function showCurve({ file, points }) {
  const names = [...new Set(points.flatMap(Object.keys))].filter((name) => name !== "step" && name !== "reward");
  const panels = make("div", "panels");
  for (const name of ["reward", ...names]) {
    const found = points.filter((point) => name in point).map((point) => ({ x: point.step, y: point[name] }));
    panels.append(panel(name, curve(name, found)));
  }
  return card(`${file}: ${number(points.length)} points`, panels);
}

function showAudit(audit) {
  const lines = audit.checks.map(({ name, says, rows, mean, findings }) => [
    make("span", findings.length ? "bad" : "up", findings.length ? "FAIL" : rows ? "pass" : "-"), name, says, number(rows), number(mean),
  ]);
  const table = make("div", "panel wide", plain(["", "check", "", "#rows", "#reward"], lines));
  table.tabIndex = 0; // It may be too wide for a phone, and scrolls.
  const made = card(`${audit.file}: audit of ${audit.environment}`, table);
  if (audit.broken_off) made.append(make("p", "error", audit.broken_off));
  const wrong = audit.checks.flatMap(({ name, findings }) => findings.map((one) => ({ name, ...one })));
  for (const { name, row, task_id: task, what, again } of wrong.slice(0, 100)) {
    made.append(make("p", "text", make("b", "", `${name}, ${row} (${task}): `), what), again ? long(again, "hint") : "");
  }
  if (wrong.length > 100) made.append(make("p", "hint", `${number(wrong.length - 100)} more are in the file.`));
  return made;
}

// ---------------------------------------------------------------------------------------------------- the filters

let grid = null; // Of the episodes.

function startTables() {
  for (const id of ["tasks-run", "episodes-run"]) {
    if (data.runs.length > 1 && id === "episodes-run") element(id).append(new Option("all", ""));
    data.runs.forEach((run, at) => element(id).append(new Option(run.file, at)));
    element(id).parentElement.hidden = data.runs.length < 2;
  }
  const states = [...new Set(episodes.map((episode) => episode[STATE]))];
  for (const state of states) element("episodes-state").append(new Option(state, state));
  startTasks();
  startEpisodes();
}

function startTasks() {
  const rewards = data.runs.flatMap((run) => (run.reward ? [run.reward.min, run.reward.max] : []));
  const [low, high] = [Math.min(0, ...rewards), Math.max(...rewards, 0)];
  const meter = ({ mean }) => {
    if (mean === null) return "";
    const filled = make("span", "");
    filled.style.width = `${(100 * (mean - low)) / (high - low || 1)}%`;
    const made = make("span", "meter", filled);
    made.title = number(mean);
    return made;
  };
  const tasks = new Grid(element("tasks"), "Tasks", [
    { name: "task", value: ({ task }) => task, show: ({ task }) => named(task) },
    { name: "reward", value: ({ mean }) => mean, number: true, width: "clamp(4.2rem, 16vw, 6rem)" },
    { name: "mean reward", value: ({ mean }) => mean, show: meter, width: "30%", little: true },
    { name: "passed", value: ({ passed }) => passed, show: ({ passed, graded }) => `${passed} of ${graded}`, number: true, width: "clamp(4.8rem, 20vw, 6.5rem)" },
    { name: "episodes", value: (task) => task.episodes, number: true, width: "6.5rem", little: true },
  ], ({ task }) => filterByTask(task, element("tasks-run").value));
  const show = () => {
    const all = data.runs[Number(element("tasks-run").value)].by_task;
    const text = element("tasks-text").value.trim().toLowerCase();
    const found = all.filter(({ task }) => task.toLowerCase().includes(text));
    element("tasks-count").textContent = count(found.length, all.length);
    tasks.show(found);
  };
  for (const id of ["tasks-run", "tasks-text"]) element(id).addEventListener("input", show);
  show();
}

function startEpisodes() {
  const state = (at) => make("span", `${episodes[at][STATE]}-text`, [episodes[at][STATE], episodes[at][KIND]].filter(Boolean).join(": "));
  const column = (name, field, more = {}) => ({ name, value: (at) => episodes[at][field], ...more });
  const known = (field) => episodes.some((episode) => episode[field] !== null);
  const columns = [
    column("task", TASK, { show: (at) => named(episodes[at][TASK]) }),
    ...(data.runs.length > 1 ? [column("run", RUN, { show: (at) => nameOf(episodes[at][RUN]), width: "12%", little: true })] : []),
    ...(known(REPEAT) ? [column("repeat", REPEAT, { number: true, width: "5.2rem", little: true })] : []),
    column("outcome", STATE, { show: state, width: "clamp(4.5rem, 18vw, 12rem)" }),
    column("reward", REWARD, { show: (at) => (episodes[at][STATE] === "graded" ? episodes[at][REWARD] : ""), number: true, width: "clamp(4rem, 16vw, 5rem)" }),
    column("turns", TURNS, { number: true, width: "4.4rem", little: true }),
    column("calls", CALLS, { number: true, width: "4.2rem", little: true }),
    column("errors", ERRORS, { number: true, width: "4.6rem", little: true }),
    ...(known(TOKENS) ? [column("tokens", TOKENS, { number: true, width: "5.2rem", little: true })] : []),
    ...(known(SECONDS) ? [column("seconds", SECONDS, { number: true, width: "5.4rem", little: true })] : []),
    column("characters", CHARACTERS, { number: true, width: "6.6rem", little: true }),
  ];
  grid = new Grid(element("episodes"), "Episodes", columns, (at) => (location.hash = `#e${at}`));
  for (const id of FILTERS) element(id).addEventListener("input", showEpisodes);
  showEpisodes();
}

const FILTERS = ["episodes-run", "episodes-state", "reward-from", "reward-to", "episodes-text"];

function showEpisodes() {
  const [run, state, from, to, text] = FILTERS.map((id) => element(id).value);
  const words = text.trim().toLowerCase();
  const found = [];
  episodes.forEach((episode, at) => {
    if (run !== "" && episode[RUN] !== Number(run)) return;
    if (state && episode[STATE] !== state) return;
    if (from !== "" && !(episode[STATE] === "graded" && episode[REWARD] >= Number(from))) return;
    if (to !== "" && !(episode[STATE] === "graded" && episode[REWARD] <= Number(to))) return;
    if (words && !episode[TASK].toLowerCase().includes(words) && !(episode[KIND] ?? "").toLowerCase().includes(words)) return;
    found.push(at);
  });
  element("episodes-count").textContent = count(found.length, episodes.length);
  grid.show(found);
}

function count(shown, all) {
  return shown === all ? number(all) : `${number(shown)} of ${number(all)}`;
}

function filterByTask(task, run) {
  for (const id of FILTERS) element(id).value = "";
  if (run !== "" && data.runs.length > 1) element("episodes-run").value = run;
  element("episodes-text").value = task;
  showEpisodes();
  element("episodes-section").scrollIntoView();
  grid.table.focus({ preventScroll: true });
}

// ----------------------------------------------------------------------------------------------------- an episode

const unpacked = new Map(); // The last chunks, by number.

/** What an episode said. */
async function transcriptOf(at) {
  const place = episodes[at][PLACE];
  if (!place) {
    const response = await fetch(`episodes/${at}`);
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
    return response.json();
  }
  const [chunk, within] = place;
  if (!unpacked.has(chunk)) {
    const packed = Uint8Array.from(atob(element(`chunk-${chunk}`).textContent), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    if (unpacked.size > 3) unpacked.delete(unpacked.keys().next().value);
    unpacked.set(chunk, JSON.parse(await new Response(stream).text()));
  }
  return unpacked.get(chunk)[within];
}

async function showEpisode(at) {
  const shown = element("episode");
  let said;
  try {
    said = await transcriptOf(at);
  } catch (error) {
    shown.replaceChildren(buttonsOf(at), make("p", "error", `This episode cannot be shown: ${error.message}.`));
    said = null;
  }
  if (location.hash !== `#e${at}`) return; // Meanwhile another one was asked for.
  element("overview").hidden = true;
  shown.hidden = false;
  if (said === null) return;
  const heading = make("h1", "", episodes[at][TASK]);
  heading.tabIndex = -1;
  const conversation = make("section", "card", make("div", "heading", make("h2", "", "Conversation")), conversationOf(said, at));
  if (said.tools.length) conversation.firstChild.append(make("p", "hint", `Tools: ${said.tools.join(", ")}`));
  shown.replaceChildren(buttonsOf(at), heading, make("div", "of-episode", conversation, make("aside", "", verdictOf(said, at), ...againOf(at), ...madeFrom(said))));
  scrollTo(0, 0);
  heading.focus({ preventScroll: true });
}

function buttonsOf(at) {
  const place = grid.items.indexOf(at);
  const go = (step) => {
    const next = grid.items[place + step];
    if (next !== undefined) location.replace(`#e${next}`);
  };
  const back = button("Back to the table", () => (location.hash = ""));
  const before = button("← Previous", () => go(-1));
  const after = button("Next →", () => go(1));
  before.disabled = place < 1;
  after.disabled = place < 0 || place + 1 >= grid.items.length;
  before.id = "before";
  after.id = "after";
  return make("div", "bar-of-buttons", back, before, after, make("p", "hint", `${episodes[at][WHERE]}, ${outcomeOf(at)}`));
}

function outcomeOf(at) {
  return episodes[at][STATE] === "graded" ? `reward ${number(episodes[at][REWARD])}` : episodes[at][STATE];
}

function conversationOf(said, at) {
  const list = make("ol", "conversation");
  let shown = 0;
  const more = button("", () => add(), "small more");
  const add = () => {
    list.append(...said.items.slice(shown, shown + ITEMS_AT_ONCE).map((item) => itemOf(item, at)));
    shown += ITEMS_AT_ONCE;
    more.hidden = shown >= said.items.length;
    more.textContent = `Show more (${number(said.items.length - shown)} are left)`;
  };
  add();
  return make("div", "", list, more);
}

function itemOf(item, at) {
  if (item.kind === "call") {
    const call = make("div", "call", make("code", "name", item.name || "(an answer to no call)"));
    if (item.arguments) call.append(long(item.arguments));
    const answer = item.output
      ? make("div", item.failed ? "answer failed" : "answer", ...partsOf(item.output, at, `Picture that ${item.name} answered with`))
      : make("div", "answer", make("p", "hint", "No answer."));
    return make("li", "pair", call, answer);
  }
  const names = { message: item.role, reasoning: "reasoning", other: item.name };
  const said = make("div", item.kind === "reasoning" ? "said reasoning" : "said", ...partsOf(item.parts, at, "Picture"));
  return make("li", "", make("p", "role", names[item.kind]), said);
}

function partsOf(parts, at, alt) {
  return parts.map((part) => {
    if ("text" in part) return long(part.text);
    if ("name" in part) return make("p", "key", part.name);
    if (part.picture === null) return make("p", "hint", "[A picture for which there was no room: gymkit view --serve shows it.]");
    return pictureOf(part.picture, at, alt);
  });
}

function pictureOf(name, at, alt) {
  const made = make("img");
  made.alt = alt;
  made.loading = "lazy";
  const embedded = element(`picture-${name}`);
  made.src = embedded ? `data:${embedded.textContent}` : `pictures/${at}/${name}`;
  return made;
}

function verdictOf({ verdict }, at) {
  const state = episodes[at][STATE];
  const made = make("section", state === "graded" ? "card verdict" : "card verdict masked");
  made.append(make("h2", "", "Verdict"));
  made.append(make("p", "reward", state === "graded" ? `Reward: ${verdict.reward}` : state === "masked" ? "Masked" : "Failed"));
  if (state === "masked") made.append(make("p", "hint", "Training leaves this sample out: the environment failed."));
  if (verdict.failure_kind) made.append(make("p", "", String(verdict.failure_kind)));
  if (verdict.failure_reason) made.append(long(String(verdict.failure_reason), "hint"));
  const facts = make("dl");
  for (const [name, field] of [["turns", TURNS], ["calls", CALLS], ["errors", ERRORS], ["tokens", TOKENS], ["seconds", SECONDS]]) {
    if (episodes[at][field] !== null) facts.append(make("dt", "", name), make("dd", "", number(episodes[at][field])));
  }
  made.append(facts);
  return made;
}

/** The command that plays the row again. */
function againOf(at) {
  const again = episodes[at][AGAIN];
  if (!again) return [];
  const command = make("pre", "command", again);
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(again);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(command); // Then the reader copies what is marked.
    }
  });
  const made = card("Play this row again", command);
  made.firstChild.append(copy);
  if (!episodes[at][PLACE]) made.append(playing(at));
  return [made];
}

/** What plays the row again, where a server is there to do it, and goes to the new episode. */
function playing(at) {
  const said = make("p", "hint");
  said.setAttribute("role", "status");
  const play = button("Play it now", async () => {
    play.disabled = true;
    said.textContent = "It is being played…";
    try {
      const response = await fetch(`again/${at}`, { method: "POST", headers: { "X-Play-Again": "yes" } });
      if (!response.ok) throw new Error(await response.text());
      const { number: next, line } = await response.json();
      episodes[next] = line;
      showEpisodes();
      said.textContent = "";
      if (location.hash === `#e${at}`) location.hash = `#e${next}`;
    } catch (error) {
      said.textContent = `It was not played: ${error.message}`;
    }
    play.disabled = false;
  }, "small more");
  return make("div", "", play, said);
}

/** The answer, the row's expected output, and all other fields: the short ones in a list, the long ones below. */
function madeFrom(said) {
  const list = make("dl", "");
  const blocks = [];
  const add = (name, content) => {
    const text = typeof content === "string" ? content : JSON.stringify(content, null, 1);
    const short = text.length < 40 && !text.includes("\n");
    if (short) list.append(make("dt", "", name), make("dd", "", text));
    else blocks.push(make("div", "value", make("p", "role", name), long(text)));
  };
  for (const [name, content] of Object.entries(said.truth)) add(name, content);
  if (said.answer) add("the last that was said", said.answer);
  for (const [name, content] of Object.entries(said.fields)) add(name, content);
  return list.children.length + blocks.length ? [card("What it was made from", list, ...blocks)] : [];
}

// ---------------------------------------------------------------------------------------------------------- start

function goTo() {
  const found = /^#e(\d+)$/.exec(location.hash);
  if (found && episodes[Number(found[1])]) {
    showEpisode(Number(found[1]));
    return;
  }
  if (element("episode").hidden) return;
  element("episode").hidden = true;
  element("overview").hidden = false;
  element("episodes-section").scrollIntoView();
  grid.table.focus({ preventScroll: true });
  grid.render();
}

function keyed(event) {
  if (element("episode").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.tagName === "PRE" && event.key !== "Escape") return; // Which scrolls.
  if (event.key === "Escape") location.hash = "";
  else if (event.key === "ArrowLeft") element("before").click();
  else if (event.key === "ArrowRight") element("after").click();
}

function start() {
  element("title").textContent = data.environment.replaceAll("_", " ").replace(/\b\w/g, (letter) => letter.toUpperCase());
  document.title = `${element("title").textContent}: what happened`;
  element("files").textContent = [...data.runs, ...data.curves, ...data.audits].map(({ file }) => file).join(", ");
  element("left-out").hidden = !data.left_out.length;
  element("left-out").append(...data.left_out.map((line) => make("p", "", line)));
  element("runs").append(...data.runs.map(showRun));
  element("curves").append(...data.curves.map(showCurve));
  element("audits").append(...data.audits.map(showAudit));
  if (!episodes.length) return;
  element("tasks-section").hidden = element("episodes-section").hidden = false;
  startTables();
  element("comparisons").append(...data.comparisons.map(showComparison));
  addEventListener("hashchange", goTo);
  addEventListener("keydown", keyed);
  goTo();
}

start();
