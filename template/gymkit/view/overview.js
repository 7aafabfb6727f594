// Part of the template: changes belong there (`copier update` merges this file).
// The numbers of each run, what is compared, and the tables with their filters.

const data = JSON.parse(element("data").textContent);
const [RUN, TASK, REPEAT, STATE, REWARD, KIND, TURNS, CALLS, ERRORS, TOKENS, SECONDS, CHARACTERS, WHERE, AGAIN, PLACE] =
  Array(15).keys();
const episodes = data.episodes;

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

// --------------------------------------------------------------------------------------------------------- the filters

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
    column("reward", REWARD, { show: (at) => (episodes[at][STATE] === "graded" ? episodes[at][REWARD] : ""), number: true, width: "clamp(4rem, 16vw, 5.8rem)" }),
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
