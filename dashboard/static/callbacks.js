// Tests of callbacks: when the answer cannot be put into the page, the form is sent as without scripts, so that the whole page says
// why (signed out, for instance). A secret is gone from a page that is left: browsers keep pages for the way back.
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
addEventListener("pagehide", () => {
  for (const secret of document.querySelectorAll("[data-secret]")) secret.remove();
});
