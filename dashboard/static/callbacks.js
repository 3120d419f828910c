// Tests of callbacks: when the answer cannot be put into the page, the form is sent as without scripts, so that the whole page says
// why (signed out, for instance).
"use strict";
document.addEventListener("htmx:responseError", (event) => {
  event.target.closest("form")?.submit();
});
document.addEventListener("htmx:sendError", (event) => {
  const form = event.target.closest("form[data-failed]");
  const result = form && document.querySelector(form.getAttribute("hx-target"));
  if (!result) return;
  const text = document.createElement("p");
  text.className = "fault";
  text.textContent = form.dataset.failed;
  result.replaceChildren(text);
});
