// Part of the template: changes belong there (`copier update` merges this file).

const ROW = 36; // The height of a table's line, in pixels, as view.css has it.

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
