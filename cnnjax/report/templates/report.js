"use strict";
// All texts are set with textContent, so that data stays text.
const data = JSON.parse(document.getElementById("data").textContent);
document.documentElement.classList.add("js");

function add(parent, tag, text, kind) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  parent.appendChild(element);
  return element;
}

// Charts: the values under the pointer, the finger, or the arrow keys.
function format(value, percent) {
  if (percent) return (100 * value).toFixed(2) + "%";
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(4)));
}

function nearest(xs, x) {
  let best = 0;
  for (let i = 1; i < xs.length; i++) {
    if (Math.abs(xs[i] - x) < Math.abs(xs[best] - x)) best = i;
  }
  return best;
}

function setUpChart(plot) {
  const chart = data.charts[plot.dataset.chart];
  const [low, high] = chart.x;
  let cursor = null, tip = null, current = null;

  function hide() {
    if (cursor) { cursor.remove(); tip.remove(); }
    cursor = tip = null;
  }

  function show(x) {
    const places = chart.series.filter(s => s.x.length).map(s => [s, nearest(s.x, x)]);
    if (!places.length) return;
    current = places.map(([s, i]) => s.x[i])
      .reduce((a, b) => Math.abs(b - x) < Math.abs(a - x) ? b : a);
    hide();
    const fraction = (current - low) / (high - low);
    cursor = add(plot, "div", undefined, "cursor");
    cursor.style.left = 100 * fraction + "%";
    tip = add(plot, "div", undefined, "tip");
    tip.style[fraction < 0.5 ? "right" : "left"] = "0.3rem";
    let head = chart.xName + " " + format(current, false);
    if (chart.perEpoch) head += ", epoch " + (current / chart.perEpoch).toFixed(2);
    add(tip, "span", head);
    for (const [s, i] of places) {
      const line = add(tip, "span");
      add(line, "i", undefined, "key c" + s.color);
      let text = s.name + " " + format(s.y[i], chart.percent);
      if (s.x[i] !== current) text += " (" + chart.xName + " " + format(s.x[i], false) + ")";
      line.appendChild(document.createTextNode(text));
    }
  }

  function follow(event) {
    const box = plot.getBoundingClientRect();
    const fraction = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    show(low + fraction * (high - low));
  }

  plot.addEventListener("pointermove", follow);
  plot.addEventListener("pointerdown", follow);
  plot.addEventListener("pointerleave", event => { if (event.pointerType === "mouse") hide(); });
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", event => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const xs = [...new Set(chart.series.flatMap(s => s.x))].sort((a, b) => a - b);
    const at = current === null ? 0 : nearest(xs, current) + by;
    show(xs[Math.min(Math.max(at, 0), xs.length - 1)]);
  });
}
document.querySelectorAll(".plot").forEach(setUpChart);

// Tables: a click on a heading sorts by that column, a second one the other way.
function setUpTable(table) {
  const headings = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  function key(row, column) {
    const cell = row.cells[column];
    if (!("value" in cell.dataset)) return cell.textContent;
    const value = parseFloat(cell.dataset.value);
    return Number.isNaN(value) ? -Infinity : value;
  }
  headings.forEach((heading, column) => {
    heading.firstElementChild.addEventListener("click", () => {
      const first = column ? "descending" : "ascending";
      const second = column ? "ascending" : "descending";
      const order = heading.getAttribute("aria-sort") === first ? second : first;
      headings.forEach(h => h.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const rows = [...body.rows].map(row => [key(row, column), row]);
      rows.sort(([a], [b]) => sign * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a === b ? 0 : a < b ? -1 : 1));
      rows.forEach(([, row]) => body.appendChild(row));
    });
  });
}
document.querySelectorAll("table.sortable").forEach(setUpTable);

// Small pictures stay sharp; those as large as they are shown are scaled smoothly.
function soften(image) {
  const check = () => image.classList.toggle("smooth", Math.max(image.naturalWidth, image.naturalHeight) > 48);
  if (image.complete) check(); else image.addEventListener("load", check);
}
document.querySelectorAll(".gallery img").forEach(soften);

// Confusion matrix: the examples of a cell.
const panel = document.getElementById("cell");
let pressed = null;
function showCell(button) {
  const close = pressed === button;
  if (pressed) pressed.setAttribute("aria-pressed", "false");
  panel.replaceChildren();
  pressed = close ? null : button;
  if (close) return;
  button.setAttribute("aria-pressed", "true");
  const numbers = data.cells[button.dataset.cell] || [];
  const row = button.closest("tr"), table = button.closest("table");
  const truth = row.cells[0].textContent;
  const guess = table.classList.contains("confusion")
    ? table.tHead.rows[0].cells[button.closest("td").cellIndex].textContent
    : row.cells[1].textContent;
  const count = button.textContent;
  const shown = numbers.length < Number(count) ? `; ${numbers.length} are shown, the most certain first` : "";
  add(panel, "p", `True ${truth}, predicted ${guess}: ${count} ${count === "1" ? "example" : "examples"}${shown}.`);
  const gallery = add(panel, "div", undefined, "gallery");
  for (const number of numbers) {
    const [picture, detail, file] = data.pictures[number];
    const twin = document.querySelector(`img[data-example="${number}"]`);
    const source = picture || (twin ? twin.src : "");
    const figure = add(gallery, "figure");
    if (source) {
      const image = add(figure, "img");
      image.alt = "example " + number;
      image.src = source;
      soften(image);
    }
    const caption = add(figure, "figcaption");
    add(caption, "span", detail);
    add(caption, "small", file);
  }
}
document.querySelectorAll("[data-cell]").forEach(button => {
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => showCell(button));
});
