// The live tail of a list: <section id data-tail="4" data-new-one="1 new" data-new="# new">. Rows that arrive are announced, and put in on a click, or
// when no one reads or works in the table: no row ever moves under a pointer, a focus or a tick.
"use strict";
(() => {
  const IDLE_MS = 3000;
  const section = document.querySelector("[data-tail]");
  if (!section) return;
  let pending = null, waits = false, lastInput = Date.now();
  for (const kind of ["pointermove", "pointerdown", "keydown", "wheel", "touchmove", "scroll"]) {
    addEventListener(kind, () => { lastInput = Date.now(); }, { passive: true });
  }

  const table = () => section.querySelector("table");
  const rows = (part) => [...part.querySelectorAll("tr[data-row]")];
  const ticked = (row) => row.querySelector("input:checked") !== null;
  const inUse = (row) => row.matches(":hover, :focus-within") || ticked(row);
  const isOn = () => localStorage.getItem("tail") !== "off";

  function mayMove() {
    return Date.now() - lastInput > IDLE_MS && !table().matches(":hover, :focus-within")
      && !rows(section).some(ticked) && section.getBoundingClientRect().top >= 0;
  }

  function announce(number) {
    const button = section.querySelector("[data-tail-show]");
    button.hidden = number === 0;
    const text = number === 1 ? section.dataset.newOne : section.dataset.new;
    button.textContent = text.replace("#", number.toLocaleString(document.documentElement.lang));
  }

  function putIn() {
    if (!pending) return;
    const kept = new Map(rows(section).filter(ticked).map((row) => [row.dataset.row, row]));
    for (const row of rows(pending)) {
      if (kept.delete(row.dataset.row)) row.querySelector("input").checked = true;
    }
    const body = document.adoptNode(pending.querySelector("tbody"));
    body.append(...kept.values()); // what is ticked stays, though it is no longer among the newest
    table().tBodies[0].replaceWith(body);
    pending = null;
    announce(0);
  }

  function changeInPlace(fresh) {
    const now = new Map(rows(fresh).map((row) => [row.dataset.row, row]));
    for (const row of rows(section)) {
      const changed = now.get(row.dataset.row);
      if (changed && changed.dataset.now !== row.dataset.now && !inUse(row)) row.replaceWith(document.adoptNode(changed.cloneNode(true)));
    }
  }

  function take(fresh) {
    if (!table() || !fresh.querySelector("table")) {
      if (!section.matches(":focus-within")) section.replaceChildren(...document.adoptNode(fresh).childNodes);
      return begin();
    }
    const known = new Set(rows(section).map((row) => row.dataset.row));
    const arrived = rows(fresh).filter((row) => !known.has(row.dataset.row)).length;
    changeInPlace(fresh);
    pending = arrived ? fresh : null;
    if (arrived && mayMove()) putIn();
    else announce(arrived);
  }

  async function look() {
    if (waits || document.hidden || !isOn()) return;
    waits = true;
    try {
      const fresh = await fetchPart(section.id);
      if (fresh) take(fresh);
    } finally {
      waits = false;
    }
  }

  function begin() {
    for (const part of section.querySelectorAll(".tail")) part.hidden = false;
    const knob = section.querySelector("[data-tail-switch]");
    if (knob) knob.checked = isOn();
  }

  section.addEventListener("click", (event) => {
    if (!event.target.closest("[data-tail-show]")) return;
    const byKeyboard = event.target.matches(":focus-visible");
    putIn();
    if (byKeyboard) rows(section)[0]?.querySelector("a[href]").focus();
  });
  section.addEventListener("change", (event) => {
    if (event.target.matches("[data-tail-switch]")) localStorage.setItem("tail", event.target.checked ? "on" : "off");
  });
  begin();
  setInterval(look, Number(section.dataset.tail) * 1000);
})();
