// Part of the template: changes belong there (`copier update` merges this file).
// Makes elements. What the files say is inserted as text, never as HTML.
// This and the other scripts here stand in the page as one, in the order of SCRIPTS (document.py).
"use strict";

const TEXT_AT_ONCE = 20_000; // Characters: a browser needs long to lay out millions.

const element = (id) => document.getElementById(id);

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
