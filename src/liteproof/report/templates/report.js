"use strict";
// Sorting, filtering, theme, and links into closed parts. Without it the report still shows everything.
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  root.classList.add("js");

  // -- sorting: a header's button sorts its table; what has no value stays at the end ------------------------------
  const WORST_FIRST = ["FAIL", "UNMEASURED", "PROVISIONAL", "PASS"];
  const collator = new Intl.Collator("en", { numeric: true });

  function keyOf(row, column, kind) {
    const cell = row.cells[column];
    if (kind === "number") return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
    if (kind === "verdict") {
      const rank = WORST_FIRST.indexOf(row.dataset.verdict);
      return rank < 0 ? null : rank;
    }
    return cell.textContent.trim();
  }

  function sortBy(header) {
    const table = header.closest("table");
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    const { cellIndex: column } = header;
    const kind = header.dataset.sort;
    const sign = ascending ? 1 : -1;
    const keyed = [...table.tBodies[0].rows].map((row) => ({ row, key: keyOf(row, column, kind) }));
    keyed.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
      return sign * (kind === "text" ? collator.compare(a.key, b.key) : a.key - b.key);
    });
    table.tBodies[0].append(...keyed.map(({ row }) => row));
    for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const direction = ascending ? "ascending" : "descending";
    document.getElementById("announce").textContent = `Sorted by ${header.textContent.trim()}, ${direction}`;
  }

  for (const header of all("th[data-sort]")) header.querySelector("button").addEventListener("click", () => sortBy(header));

  // -- filtering: one form for every table and gate ------------------------------------------------------------------
  const form = document.getElementById("filter");
  const rows = all("[data-row]");
  const texts = new WeakMap();
  const textOf = (row) => {
    if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
    return texts.get(row);
  };
  const facetOf = (row, name) => row.dataset[name] ?? row.closest(`[data-${name}]`)?.dataset[name];
  const OPEN_AT_MOST = 300;

  function filter() {
    const wanted = new FormData(form);
    const words = (wanted.get("text") || "").toLowerCase().split(/\s+/).filter(Boolean);
    const facets = ["model", "variant", "target", "verdict"].filter((name) => wanted.get(name));
    const active = words.length > 0 || facets.length > 0;
    for (const row of rows) {
      row.hidden = active && !(
        facets.every((name) => facetOf(row, name) === wanted.get(name)) && words.every((word) => textOf(row).includes(word))
      );
    }
    const shown = (within) => all("[data-row]:not([hidden])", within).length;
    const found = all(".model").map((model) => [model, shown(model)]);
    const total = found.reduce((sum, [, count]) => sum + count, 0);
    for (const [model, count] of found) {
      model.hidden = active && count === 0;
      model.querySelector(".matches").textContent = active ? `(${count} match)` : "";
      if (active && total <= OPEN_AT_MOST && count > 0) model.querySelector("details").open = true;
    }
    const cases = shown(document.getElementById("cases"));
    form.querySelector("output").textContent = active ? `${cases} variants and ${total} checks match` : "";
  }

  let waiting;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 120);
  });
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());

  // -- a link to a row opens what the row is in, and brings it back if it was filtered away --------------------------
  function reveal() {
    let name = "";
    try {
      name = decodeURIComponent(location.hash.slice(1));
    } catch {
      return;
    }
    const found = name && document.getElementById(name);
    if (!found) return;
    if (found.closest("[hidden]")) {
      form.reset();
      filter();
    }
    for (let part = found; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    found.scrollIntoView({ block: "center" });
  }
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();

  // -- paper shows everything ----------------------------------------------------------------------------------------
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    for (const part of closed) part.open = true;
  });
  addEventListener("afterprint", () => {
    for (const part of closed) part.open = false;
  });

  // -- theme: as the system has it, or as the reader wants it --------------------------------------------------------
  const THEMES = ["auto", "light", "dark"];
  const button = document.getElementById("theme");
  const remembered = () => {
    try {
      return localStorage.getItem("liteproof-theme");
    } catch {
      return null; // a file opened from disk may have no storage
    }
  };
  function show(theme) {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    button.value = theme;
  }
  show(THEMES.includes(remembered()) ? remembered() : "auto");
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(button.value) + 1) % THEMES.length];
    show(next);
    try {
      localStorage.setItem("liteproof-theme", next);
    } catch {
      // not remembered, then
    }
  });
})();
