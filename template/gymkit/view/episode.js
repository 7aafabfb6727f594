// Part of the template: changes belong there (`copier update` merges this file).
// One episode, and the way to it and back.

const ITEMS_AT_ONCE = 200;

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

// --------------------------------------------------------------------------------------------------------------- start

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
