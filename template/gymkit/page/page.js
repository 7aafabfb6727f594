// Part of the template: changes belong there (`copier update` merges this file).
// Plays one episode: posts the forms, shows calls and answers, asks for the verdict.
// What the server answers is inserted as text, never as HTML.
"use strict";

// The session's token goes by header: a cookie would not reach the server from another site's frame.
const TOKEN_HEADER = "X-Session-Token";
const KEY_STORED_AS = "gymkit.key";
const PICTURE = /data:image\/[a-z0-9.+-]+;base64,[a-z0-9+/]+=*/gi;

const element = (id) => document.getElementById(id);

/** The call comes to nothing; the message is for the player. */
class Refused extends Error {}

let key = storedKey();
let episode = null; // { token, items, over }: items as the Responses API has them
let busy = false;

// ------------------------------------------------------------------------------------------------------- requests

async function request(path, options = {}) {
  const headers = { ...options.headers };
  if (key) headers.Authorization = bearer(key);
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch {
    throw new Refused("The environment does not answer. Is it still running?");
  }
  if (response.status === 401) {
    askForKey(key ? "The environment does not take this key." : "");
    throw new Refused("The environment wants its API key.");
  }
  if (response.status === 429 || response.status === 503) {
    const seconds = response.headers.get("Retry-After");
    const why = response.status === 429 ? "Too many requests" : "The environment is full, or not ready";
    throw new Refused(`${why} (${response.status}). Try again ${seconds ? `in ${seconds} s` : "later"}.`);
  }
  return response;
}

/** Post to the session; the status and the body of the answer. */
async function post(path, body) {
  const response = await request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", [TOKEN_HEADER]: episode?.token ?? "" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  const token = response.headers.get(TOKEN_HEADER);
  let json = null;
  try {
    json = JSON.parse(text);
  } catch {
    // A proxy's page, most likely.
  }
  if (json === null || typeof json !== "object") {
    throw new Refused(`The environment answered ${response.status}, with something that is no JSON object.`);
  }
  return { status: response.status, ok: response.ok, text, json, token };
}

/** What a refusal says, for the player. */
function reason(answer) {
  return `${answer.json.output ?? answer.json.detail ?? answer.text} (${answer.status})`;
}

// -------------------------------------------------------------------------------------------------------- the key

function storedKey() {
  try {
    return sessionStorage.getItem(KEY_STORED_AS) ?? "";
  } catch {
    return ""; // Blocked, as in a frame of another site.
  }
}

function storeKey(value) {
  key = value;
  try {
    sessionStorage.setItem(KEY_STORED_AS, value);
  } catch {
    // Then it is kept as long as the page.
  }
}

/** A header holds bytes: the key goes in as UTF-8. */
function bearer(text) {
  return `Bearer ${String.fromCharCode(...new TextEncoder().encode(text))}`;
}

function askForKey(text) {
  element("key-form").hidden = false;
  element("key-error").textContent = text;
  element("key").focus();
}

/** Fetch the page's content with the key, where it is not there yet. */
async function enter() {
  if (!element("task")) {
    const response = await request(".", { headers: { Accept: "text/html" } });
    if (!response.ok) throw new Refused(`The environment answered ${response.status}.`);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    document.title = page.title;
    element("content").replaceChildren(...page.getElementById("content").childNodes);
    start();
  }
  element("key-form").hidden = true;
}

async function enterKey(event) {
  event.preventDefault();
  storeKey(element("key").value.trim());
  try {
    if (element("task")) await request("tools"); // Is it the right one?
    await enter();
    element("key").value = "";
    showError("");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (!element("key-error").textContent) element("key-error").textContent = error.message;
  }
}

// ---------------------------------------------------------------------------------------------------- the episode

/** Run one thing at a time, and show why it was refused. */
async function alone(work) {
  if (busy) return;
  busy = true;
  showError("");
  element("content").setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    showError(error.message);
  } finally {
    busy = false;
    element("content").removeAttribute("aria-busy");
    showState();
  }
}

async function begin() {
  // With the token of the episode before, which this ends.
  const answer = await post("seed_session", {});
  if (!answer.ok) throw new Refused(reason(answer));
  episode = { token: answer.token, items: [], over: "" };
  element("transcript").replaceChildren();
}

/** Begin an episode where there is none; one that has ended is not gone on with. */
async function beginIfNeeded() {
  if (episode?.over) throw new Refused(`This episode is ${episode.over}. Begin a new one.`);
  if (!episode) await begin();
}

async function call(form) {
  const tool = form.dataset.tool;
  const args = argumentsOf(form);
  await beginIfNeeded();
  const answer = await post(tool, args);
  if (answer.status === 410) {
    episode.over = "over";
    throw new Refused(reason(answer));
  }
  const number = calls() + 1;
  const call_id = `call_${number}`;
  episode.items.push(
    { type: "function_call", id: `fc_${number}`, call_id, name: tool, arguments: JSON.stringify(args), status: "completed" },
    { type: "function_call_output", call_id, output: answer.text },
  );
  showCall(tool, args, answer);
}

/** Say something, as a model's message. */
async function say(text) {
  await beginIfNeeded();
  const content = [{ type: "output_text", text, annotations: [] }];
  const id = `msg_${episode.items.length}`;
  episode.items.push({ type: "message", id, role: "assistant", status: "completed", content });
  append(make("li", "", make("p", "call", make("code", "name", "says")), make("div", "answer", scrolling(make("pre", "", text)))));
}

/** How many tools have been called. */
function calls() {
  return (episode?.items ?? []).filter((item) => item.type === "function_call").length;
}

async function verify() {
  const task = JSON.parse(element("task").textContent);
  const params = task.responses_create_params;
  const response = {
    id: `resp_${Date.now()}`,
    created_at: Date.now() / 1000,
    model: "a person",
    object: "response",
    output: episode.items,
    parallel_tool_calls: params.parallel_tool_calls ?? true,
    tool_choice: params.tool_choice ?? "auto",
    tools: params.tools ?? [],
  };
  const sent = { ...task, response };
  const answer = await post("verify", sent);
  if (!answer.ok) throw new Refused(reason(answer));
  episode.over = "graded";
  showVerdict(answer.json, sent);
}

/** The form's values as the tool's arguments. */
function argumentsOf(form) {
  const args = {};
  for (const control of form.querySelectorAll("[data-kind]")) {
    const text = control.value;
    if (text === "" && control.dataset.absent === "omit") continue;
    args[control.name] = text === "" && control.dataset.absent === "null" ? null : valueOf(control, text);
  }
  return args;
}

function valueOf(control, text) {
  switch (control.dataset.kind) {
    case "number":
      return Number(text);
    case "list":
      return text.split("\n").filter((line) => line !== "");
    case "choice":
      return JSON.parse(text);
    case "json":
      try {
        return JSON.parse(text);
      } catch (error) {
        throw new Refused(`${control.name} is no JSON: ${error.message}`);
      }
    default:
      return text;
  }
}

// ------------------------------------------------------------------------------------------------------- showing

function make(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function showError(text) {
  const error = element("error");
  if (error) error.textContent = text;
}

function showState() {
  const count = `${calls()} ${calls() === 1 ? "call" : "calls"}`;
  element("state").textContent = episode ? `${episode.over || "running"}, ${count}` : "not begun";
  element("empty").hidden = Boolean(episode?.items.length || episode?.over);
  element("verify").disabled = !episode || Boolean(episode.over);
}

function append(item) {
  const transcript = element("transcript");
  transcript.append(item);
  const bringIntoView = () => item.scrollIntoView({ block: "nearest" });
  bringIntoView();
  for (const picture of item.querySelectorAll("img")) picture.addEventListener("load", bringIntoView);
}

function showCall(tool, args, answer) {
  const lines = Object.entries(args).map(([name, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return `${name}: ${text.includes("\n") ? "\n" : ""}${text}`;
  });
  const call = make("p", "call", make("code", "name", tool));
  if (lines.length) call.append(make("code", "arguments", lines.join("\n")));
  const shown = make("div", answer.ok ? "answer" : "answer failed");
  const { output, ...others } = answer.json;
  if (output !== undefined) shown.append(...nodes(output, tool));
  for (const [name, value] of Object.entries(others)) {
    shown.append(make("p", "key", name), ...nodes(value, tool));
  }
  append(make("li", "", call, shown));
}

/** A value of an answer: its text, and the pictures in it as pictures. */
function nodes(value, tool) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const pictures = text.match(PICTURE) ?? [];
  const texts = typeof value === "string" ? text.split(PICTURE) : [text.replace(PICTURE, "picture")];
  const shown = [];
  texts.forEach((part, index) => {
    const words = pictures.length ? part.trim() : part;
    if (words || !text) shown.push(scrolling(make("pre", "", words || "(no text)")));
    if (typeof value === "string" && pictures[index]) shown.push(picture(pictures[index], tool));
  });
  if (typeof value !== "string") shown.push(...pictures.map((url) => picture(url, tool)));
  return shown;
}

function picture(url, tool) {
  const made = make("img");
  made.alt = `Picture that ${tool} answered with`;
  made.src = url;
  const forms = [...document.querySelectorAll("form[data-tool]")].filter(({ elements }) => elements.x && elements.y);
  if (forms.length) {
    made.className = "screen";
    made.title = "A click fills in x and y.";
    made.addEventListener("click", (event) => {
      const scale = made.naturalWidth / made.clientWidth;
      for (const { elements } of forms) {
        elements.x.value = Math.floor(event.offsetX * scale);
        elements.y.value = Math.floor(event.offsetY * scale);
      }
    });
  }
  return made;
}

/** Long text scrolls, by the keyboard too. */
function scrolling(pre) {
  requestAnimationFrame(() => {
    if (pre.scrollHeight > pre.clientHeight) pre.tabIndex = 0;
  });
  return pre;
}

function showVerdict(verdict, sent) {
  const shown = make("li", verdict.mask_sample ? "verdict masked" : "verdict");
  if (verdict.mask_sample) {
    shown.append(make("p", "reward", "No reward"));
    shown.append(make("p", "", `Masked (${verdict.failure_kind ?? "no reason given"}): training leaves this sample out.`));
    if (verdict.failure_reason) shown.append(make("p", "hint", verdict.failure_reason));
  } else {
    shown.append(make("p", "reward", `Reward: ${verdict.reward}`));
    const own = new Set([...Object.keys(sent), "reward", "mask_sample", "instance_config"]);
    const metrics = Object.entries(verdict).filter(([name, value]) => !own.has(name) && value !== null);
    const list = make("dl");
    for (const [name, value] of metrics) {
      list.append(make("dt", "", name), make("dd", "", typeof value === "string" ? value : JSON.stringify(value)));
    }
    if (metrics.length) shown.append(list);
  }
  append(shown);
  element("begin").focus({ preventScroll: true });
}

// ---------------------------------------------------------------------------------------------------------- start

/** Enter calls; Shift+Enter begins a new line, and so does Enter in a text that has several; there Ctrl+Enter calls. */
function typed(event) {
  if (event.key !== "Enter" || event.isComposing || event.shiftKey || event.target.tagName !== "TEXTAREA") return;
  const single = event.target.dataset.kind === "text" && !event.target.value.includes("\n");
  if (!single && !event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}

async function copy(button) {
  const source = element(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  } catch {
    getSelection().selectAllChildren(source); // A frame may not write: the player copies what is marked.
  }
}

/** Make the content alive, once it is there. */
function start() {
  // A proxy may have changed address and scheme on the way: the browser knows them.
  const here = new URL(".", location.href).href.replace(/\/$/, "");
  for (const snippet of document.querySelectorAll(".snippet")) {
    snippet.textContent = snippet.textContent.replaceAll(element("task").dataset.url, here);
  }
  for (const form of document.querySelectorAll("form[data-tool]")) {
    form.addEventListener("keydown", typed);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      await alone(() => call(form));
      // Ready for the next value, where one was being typed.
      if (form.contains(document.activeElement)) document.activeElement.select?.();
    });
  }
  element("answer-form")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    await alone(() => say(element("answer").value));
  });
  element("begin").addEventListener("click", () => alone(begin));
  element("verify").addEventListener("click", () => alone(verify));
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(button));
  }
  showState();
}

element("key-form").addEventListener("submit", enterKey);
// Do not keep the environment waiting for a player who has left.
addEventListener("pagehide", () => {
  if (!episode || episode.over) return;
  episode.over = "over";
  showState();
  const headers = { [TOKEN_HEADER]: episode.token };
  if (key) headers.Authorization = bearer(key);
  fetch("close_session", { method: "POST", headers, keepalive: true }).catch(() => {});
});

if (element("task")) start();
else if (key) enter().catch((error) => askForKey(error.message));
else askForKey("");
