// One press of a button is one request. Everything works without it.
"use strict";
(() => {
  const all = (form, off) => {
    for (const button of form.querySelectorAll("button")) button.disabled = off;
  };
  // Once the form was sent: what is off by then is not part of it.
  document.addEventListener("submit", (event) => setTimeout(() => all(event.target, true)));
  // The browser may show the page again as it was left.
  window.addEventListener("pageshow", () => all(document, false));
})();
