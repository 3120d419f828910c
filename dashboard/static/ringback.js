// What pages do in the browser. Everything but live updates works without it.
"use strict";

// --- Times: "3 minutes ago" goes on counting -------------------------------------------------------
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const words = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });

function ago(iso) {
  const seconds = (Date.parse(iso) - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) || UNITS[3];
  return words.format(Math.round(seconds / size), unit);
}

function tickTimes() {
  for (const time of document.querySelectorAll(".moment time")) {
    const text = ago(time.dateTime);
    if (time.textContent !== text) time.textContent = text;
  }
}

// --- Live parts: fetched again every few seconds, unless someone reads or works in them -------------
// <section id="x" data-live="10">: the page is fetched, and this element replaced by the one with its id.
// A pointer that rests on mere text, and the focus of a button that was clicked, keep nothing: they stay for long, as after copying a
// command. Nor does anything that could be hit while another window is used.
function isInUse(part) {
  if (part.querySelector("dialog[open], input:checked, details[open] form, :is(input, select, textarea):focus")) return true;
  if (!document.hasFocus()) return false;
  const selection = getSelection();
  return part.querySelector(":is(a, button, summary, label, tr):hover, :focus-visible") !== null
    || !selection.isCollapsed && selection.containsNode(part, true);
}

// Returns the part as it is now; null: the server is away, or has no such part, and the next turn tries again.
async function fetchPart(id) {
  try {
    const response = await fetch(location.href, { headers: { "HX-Request": "true", "X-Live-Part": id } });
    if ([401, 403].includes(response.status)) location.reload();
    if (!response.ok) return null;
    return new DOMParser().parseFromString(await response.text(), "text/html").getElementById(id);
  } catch {
    return null;
  }
}

async function refresh(part) {
  if (part.dataset.waits) return;
  part.dataset.waits = "1";
  try {
    const fresh = await fetchPart(part.id);
    if (!fresh || isInUse(part) && part.dataset.pauses !== "never") return;
    keepOpen(part, fresh);
    const focused = part.contains(document.activeElement) && document.activeElement.id;
    const scrolled = [...part.querySelectorAll("[id]")].filter((one) => one.scrollTop || one.scrollLeft)
      .map((one) => [one.id, one.scrollLeft, one.scrollTop]);
    part.replaceWith(document.adoptNode(fresh));
    htmx.process(fresh);
    for (const [id, left, top] of scrolled) document.getElementById(id)?.scrollTo(left, top);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    fresh.dispatchEvent(new CustomEvent("ringback:fresh", { bubbles: true }));
    tickTimes();
  } finally {
    delete part.dataset.waits;
  }
}

function keepOpen(old, fresh) {
  for (const details of old.querySelectorAll("details[id]")) {
    const same = fresh.querySelector("#" + CSS.escape(details.id));
    if (same) same.open = details.open;
  }
}

function tickLive() {
  if (document.hidden) return;
  for (const part of document.querySelectorAll("[data-live][id]")) {
    const due = Number(part.dataset.last || pageLoaded) + Number(part.dataset.live) * 1000;
    if (Date.now() >= due && (part.dataset.pauses === "never" || !isInUse(part))) {
      part.dataset.last = Date.now();
      refresh(part);
    }
  }
}

// --- Copying: also by plain http, where browsers offer no clipboard ----------------------------------
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser does not allow it");
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  event.preventDefault();
  const source = document.getElementById(button.dataset.copy);
  const label = button.textContent;
  try {
    await copy("value" in source ? source.value : source.textContent);
    button.textContent = button.dataset.done;
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = button.dataset.failed;
  }
  setTimeout(() => { button.textContent = label; }, 2000);
});

// --- Secrets that a form's answer shows: a reload would send the form again, which replaces or shows the secret once more. So the
// page takes the address of another one, which a reload and the way back then lead to. Browsers keep pages that are left.
const once = document.querySelector("[data-then]");
if (once) history.replaceState(null, "", once.dataset.then);
addEventListener("pagehide", () => {
  for (const secret of document.querySelectorAll("[data-once]")) secret.replaceWith("…");
});

// --- Rows: tick all, shift-tick a range ----------------------------------------------------------------
let lastTicked = null;
document.addEventListener("click", (event) => {
  const box = event.target;
  if (!(box instanceof HTMLInputElement) || box.type !== "checkbox" || !box.form && !box.dataset.tickAll) return;
  if (box.dataset.tickAll) {
    for (const other of document.getElementsByName(box.dataset.tickAll)) other.checked = box.checked;
  } else if (event.shiftKey && lastTicked && lastTicked.name === box.name) {
    const all = [...document.getElementsByName(box.name)];
    const [from, to] = [all.indexOf(lastTicked), all.indexOf(box)].sort((a, b) => a - b);
    for (const other of all.slice(from, to + 1)) other.checked = box.checked;
  }
  lastTicked = box;
});

// --- Forms: leaving with unsaved changes asks; a second press does not send twice -----------------------
let isDirty = false;
document.addEventListener("input", (event) => {
  if (event.target.closest("form[data-unsaved]")) isDirty = true;
});
document.addEventListener("submit", (event) => {
  isDirty = false;
  const button = event.submitter;
  if (button && event.target.method === "post") setTimeout(() => { button.disabled = true; }, 0);
});
addEventListener("beforeunload", (event) => { if (isDirty) event.preventDefault(); });
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("form[method=post] button:disabled")) button.disabled = false;
});

// Filters apply when a choice is made; without scripts there is their button.
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-auto]");
  if (form) form.requestSubmit();
});

// Empty filters do not make addresses long.
document.addEventListener("formdata", (event) => {
  if (event.target.method !== "get") return;
  for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
});

// --- Keyboard: / search, j k rows, x tick, r again, ? help. Off in fields, and where people switched it off ---
const FIELDS = "input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable], dialog[open]";

// What is sent again is asked about first: in a dialog of the page, or on the page that counts what was ticked.
function again(row) {
  const button = document.querySelector("[data-again]");
  if (button?.dataset.again) return document.getElementById(button.dataset.again).showModal();
  const ticks = () => document.querySelector("table[data-rows] tbody input:checked");
  if (!ticks()) row?.querySelector("input[type=checkbox]")?.click();
  if (ticks()) button?.click();
}

const keysOn = () => localStorage.getItem("keys") !== "off";
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !keysOn()) return;
  if (event.target.closest(FIELDS)) return;
  const rows = [...document.querySelectorAll("table[data-rows] tbody tr")];
  const current = rows.findIndex((row) => row.contains(document.activeElement));
  const focusRow = (row) => row?.querySelector("a[href]")?.focus();
  if (event.key === "/") document.querySelector(".search input")?.focus();
  else if (event.key === "j") focusRow(rows[current + 1]);
  else if (event.key === "k") focusRow(rows[current < 0 ? rows.length - 1 : current - 1]);
  else if (event.key === "x") rows[current]?.querySelector("input[type=checkbox]")?.click();
  else if (event.key === "r") again(rows[current]);
  else if (event.key === "?") document.getElementById("keys")?.showModal();
  else return;
  event.preventDefault();
});
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) { event.preventDefault(); document.getElementById(opener.dataset.opens).showModal(); }
  if (event.target.closest("[data-closes]")) event.target.closest("dialog").close();
  const account = document.querySelector("details.account[open]");
  if (account && !account.contains(event.target)) account.open = false;
});

const pageLoaded = Date.now();
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
// Suppliers have no account that knows their zone. Once a session, as the server may not know it either.
const guessed = document.querySelector("[data-guess-zone]");
if (guessed && zone && guessed.dataset.guessZone !== zone && !sessionStorage.getItem("zone")) {
  sessionStorage.setItem("zone", zone);
  document.cookie = "zone=" + zone + "; path=/supplier; samesite=lax";
  location.reload();
}
for (const field of document.querySelectorAll("[data-zone]")) {
  if (field.href) field.search += "&zone=" + encodeURIComponent(zone);
  else field.value = zone;
}
document.querySelector("[aria-invalid=true]")?.focus();
tickTimes();
setInterval(tickTimes, 1000);
setInterval(tickLive, 500);
