// The forms of tokens: presets move switches in place. Everything else works without this file.
"use strict";

document.addEventListener("click", (event) => {
  const preset = event.target.closest("a[data-permissions]");
  if (!preset || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const permissions = preset.dataset.permissions.split(" ");
  let last = null;
  for (const box of document.getElementsByName("permission")) {
    box.checked = permissions.includes(box.value);
    last = box;
  }
  for (const radio of document.getElementsByName("sees")) {
    if (preset.dataset.sees) radio.checked = radio.value === preset.dataset.sees;
  }
  for (const other of document.querySelectorAll("a[data-permissions][aria-current]")) other.removeAttribute("aria-current");
  preset.setAttribute("aria-current", "true");
  last?.dispatchEvent(new Event("input", { bubbles: true }));
});
