"use strict";
// Texts of records only ever become text nodes: nothing here writes HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const board = document.getElementById("board");
const dialog = document.getElementById("detail");

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// --- sort: a column by what the list says, the first column by name

function value(row, column, key) {
  if (column < 0) return row.cells[0].textContent.trim();
  const text = row.cells[column + 1].dataset[key];
  return text === undefined ? null : Number(text);
}

function compare(a, b) {
  return typeof a === "string" ? a.localeCompare(b) : a - b;
}

function sort(button, turn) {
  const column = Number(button.dataset.column);
  const key = button.dataset.key ?? document.getElementById("sort-by").value;
  const header = button.closest("th");
  const first = button.dataset.first ?? (column < 0 ? "ascending" : "descending");
  const other = first === "ascending" ? "descending" : "ascending";
  const old = header.getAttribute("aria-sort");
  const order = turn && old === first ? other : turn ? first : old;
  for (const each of board.querySelectorAll("[aria-sort]")) each.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const known = [], blank = [];
  for (const row of board.tBodies[0].rows) {
    const found = value(row, column, key);
    if (found === null) blank.push(row);
    else known.push([found, row]);
  }
  known.sort((a, b) => sign * compare(a[0], b[0]));
  board.tBodies[0].append(...known.map((pair) => pair[1]), ...blank);
}

// --- filters: words for the rows, lists for the columns

function filterRows() {
  const words = document.getElementById("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of board.tBodies[0].rows) {
    const name = row.cells[0].textContent.toLowerCase();
    row.hidden = !words.every((word) => name.includes(word));
    shown += !row.hidden;
  }
  document.getElementById("shown").textContent = `${shown} of ${board.tBodies[0].rows.length} rows`;
}

function filterColumns() {
  const wanted = [...document.querySelectorAll("[data-facet]")].filter((list) => list.value);
  const last = board.tHead.rows[board.tHead.rows.length - 1];
  const heads = [...last.cells].filter((cell) => cell.dataset.columns !== undefined);
  const shown = heads.map((cell) => wanted.every((list) => cell.dataset[list.dataset.facet] === list.value));
  for (const cell of board.tHead.querySelectorAll("[data-columns]")) {
    const width = cell.dataset.columns.split(" ").filter((k) => shown[Number(k)]).length;
    cell.hidden = !width;
    cell.colSpan = width || 1;
  }
  for (const part of [board.tBodies[0], board.tFoot]) {
    for (const row of part ? part.rows : []) shown.forEach((show, k) => { row.cells[k + 1].hidden = !show; });
  }
}

// --- what a number is from

function command(text) {
  const made = element("div", undefined, { class: "command" });
  const copy = element("button", "Copy", { type: "button" });
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(made.firstChild);
    }
  });
  made.append(element("code", text), copy);
  return made;
}

function commands(row) {
  if (row.command) return [command(row.command.replace(" --seed N ", ` --seed ${row.runs[0][0]} `))];
  return row.commands.filter(Boolean).map(command);
}

function run([number, score, id], row) {
  const made = element("tr");
  const link = element("a", id, { href: `${row.base}${encodeURIComponent(id.toWellFormed())}.json` });
  const cells = [element("td", number), element("td", score === null ? "" : score.toFixed(2)), element("td")];
  cells[1].className = "number";
  cells[2].append(link);
  made.append(...cells);
  return made;
}

function bar(name, [mean, std]) {
  const made = element("li");
  const said = mean === null ? "–" : mean.toFixed(1) + (std === null ? "" : ` ± ${std.toFixed(1)}`);
  made.append(element("span", name), mean === null ? element("span") : element("meter", undefined, { min: 0, max: 100, value: mean }), element("span", said));
  return made;
}

function show(name) {
  const row = data.rows[name];
  document.getElementById("detail-title").textContent = row.title;
  document.getElementById("detail-where").textContent = row.where;
  document.querySelector("#detail-runs tbody").replaceChildren(...row.runs.map((each) => run(each, row)));
  const lines = commands(row);
  const rest = row.command && row.runs.length > 1 ? [element("p", `The other repetitions: --seed ${row.runs.slice(1).map((each) => each[0]).join(", ")}.`)] : [];
  const check = command(row.explain);
  document.getElementById("detail-commands").replaceChildren(...lines, ...rest, element("p", "What it was made from, in the folder of the run:"), check);
  const names = data.classes[row.names];
  document.getElementById("detail-classes").replaceChildren(...row.iou.map((each, k) => bar(names[k] ?? String(k), each)));
  document.getElementById("detail-facts").replaceChildren(...row.facts.flatMap(([key, text]) => [element("dt", key), element("dd", text)]));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function follow() {
  const name = location.hash.slice(1);
  if (Object.hasOwn(data.rows, name)) show(name);
  else if (dialog.open) dialog.close();
}

dialog.addEventListener("close", () => {
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
addEventListener("hashchange", follow);

if (board) {
  for (const button of board.querySelectorAll("thead button")) button.addEventListener("click", () => sort(button, true));
  document.getElementById("sort-by").addEventListener("change", () => {
    const sorted = board.querySelector("[aria-sort] button");
    if (sorted) sort(sorted, false);
  });
  document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("filter").addEventListener("input", filterRows);
  for (const list of document.querySelectorAll("[data-facet]")) list.addEventListener("change", filterColumns);
  filterRows();
}
follow();
