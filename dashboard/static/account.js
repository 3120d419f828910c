// Single keys can be switched off, in this browser: speech input types them by accident (WCAG 2.1.4).
"use strict";

const keysSwitch = document.querySelector("[data-keys]");
keysSwitch.checked = localStorage.getItem("keys") !== "off";
keysSwitch.addEventListener("change", () => {
  if (keysSwitch.checked) localStorage.removeItem("keys");
  else localStorage.setItem("keys", "off");
});
keysSwitch.closest("[hidden]").hidden = false;
