// Keeps the page up to date: asks for it anew, and replaces <main> where it changed. Everything works without it.
"use strict";
(() => {
  const CALM = 5000, BUSY = 1000, LOST = 15000, PATIENCE = 20000;
  const say = document.getElementById("say");
  const live = document.getElementById("live");
  let shown = document.querySelector("main").innerHTML; // as the server wrote it
  let checked = Date.now(), lost = null, timer = null, asking = null;

  // A page that was opened with a password in its address may not ask for such an address again.
  const plain = (href) => {
    const url = new URL(href, document.baseURI);
    url.username = url.password = "";
    return url.href;
  };

  const ago = (seconds) => {
    const [number, unit] = seconds < 60 ? [seconds, "second"] : seconds < 3600 ? [seconds / 60, "minute"]
      : seconds < 86400 ? [seconds / 3600, "hour"] : [seconds / 86400, "day"];
    const whole = Math.floor(number);
    return `${whole} ${unit}${whole === 1 ? "" : "s"} ago`;
  };

  // As the server says it: `12 min`.
  const lasting = (seconds) => seconds < 60 ? `${Math.floor(seconds)} s` : seconds < 3600 ? `${Math.floor(seconds / 60)} min`
    : seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;

  const tellLasting = () => {
    for (const time of document.querySelectorAll("time[data-for]")) {
      const seconds = (Date.now() - new Date(time.dateTime)) / 1000;
      if (!Number.isNaN(seconds)) time.textContent = lasting(Math.max(0, seconds));
    }
  };

  const tellTimes = () => {
    tellLasting();
    for (const time of document.querySelectorAll("time:not([data-for])")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      time.title ||= time.textContent;
      const seconds = (Date.now() - moment) / 1000;
      time.textContent = seconds < 60 ? "just now" : ago(seconds);
    }
    const since = Math.round((Date.now() - checked) / 1000);
    live.textContent = lost ? `No answer since ${lost.toLocaleTimeString()}: this is how it was then`
      : since < 20 ? "Live" : `As of ${ago(since)}`;
    document.body.toggleAttribute("data-lost", Boolean(lost));
  };

  // The filter is in the address: what is typed there counts while it is being typed.
  const isTyped = (it) => !it.closest(".filter") || it === document.activeElement;

  // `sent` is the form that this answers: what was typed into it is done with.
  const show = (text, sent) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const main = fresh.querySelector("main");
    if (!main) throw new Error("no page");
    checked = Date.now();
    lost = null;
    if (main.innerHTML !== shown) {
      shown = main.innerHTML;
      const before = document.getElementById("headline")?.textContent;
      const { id: focus, selectionStart: from, selectionEnd: to } = document.activeElement ?? {};
      const kept = (it) => !sent?.closest("details")?.contains(it);
      const opened = [...document.querySelectorAll("main details[open]")].filter(kept).map((it) => it.closest("[id]")?.id);
      const typed = [...document.querySelectorAll("main :is(input, select)[id]")].filter(kept).filter(isTyped).map((it) => [it.id, it.value, it.checked]);
      // Logs that this answer is without stay as they are, and where they are.
      const logs = [...main.querySelectorAll("[data-still]")].map((it) => [it, document.getElementById(it.id)]);
      for (const [place, log] of logs) {
        if (!log) continue;
        const lines = log.querySelector(".log"), at = lines?.scrollTop;
        place.replaceWith(log);
        if (lines) requestAnimationFrame(() => { lines.scrollTop = at; });
      }
      document.querySelector("main").replaceWith(main);
      document.querySelector(".actions").replaceWith(fresh.querySelector(".actions"));
      for (const details of document.querySelectorAll("main details")) {
        if (opened.includes(details.closest("[id]")?.id)) details.open = true;
      }
      for (const [id, value, checked] of typed) {
        const field = document.getElementById(id);
        if (field) Object.assign(field, field.type === "checkbox" ? { checked } : { value });
      }
      const field = focus ? document.getElementById(focus) : null;
      field?.focus({ preventScroll: true });
      if (from != null) field?.setSelectionRange?.(from, to);
      document.title = fresh.title;
      const after = document.getElementById("headline")?.textContent;
      if (after !== before) announce(after);
    }
    tellTimes();
  };

  let silence = null;
  const announce = (text, stay = 6000) => {
    say.textContent = text;
    clearTimeout(silence);
    silence = setTimeout(() => { say.textContent = ""; }, stay);
  };

  const again = () => {
    clearTimeout(timer);
    const busy = document.querySelector("main [data-busy]");
    timer = setTimeout(() => document.hidden || still(), lost ? LOST : busy ? BUSY : CALM);
  };

  const refresh = async (href = location.href, post = null, sent = null) => {
    // What is sent is not cut off by asking anew.
    clearTimeout(timer);
    asking?.abort();
    const own = asking = new AbortController();
    const limit = setTimeout(() => own.abort(), PATIENCE);
    try {
      const headers = { accept: post ? "text/html, application/json" : "text/html" };
      const answer = await fetch(plain(href), { ...post, signal: own.signal, headers });
      const text = await answer.text();
      if (own !== asking) return false;
      if (answer.headers.get("content-type")?.startsWith("text/html")) {
        if (post) history.replaceState(null, "", answer.url);
        show(text, sent);
        return answer.ok;
      }
      const told = JSON.parse(text);
      announce([told.error, told.hint].filter(Boolean).join(": "), 15000);
      return false;
    } catch (error) {
      if (own === asking) lost ||= new Date(checked);
      return false;
    } finally {
      clearTimeout(limit);
      if (own === asking) {
        tellTimes();
        again();
      }
    }
  };

  // By itself the page asks for no log anew.
  const still = () => {
    const url = new URL(location.href);
    url.searchParams.set("still", "");
    return refresh(url.href);
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-swap]");
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    history.pushState(null, "", plain(link.href));
    refresh();
  });

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    event.preventDefault();
    if (form.method === "get") {
      sift(form);
      return;
    }
    for (const button of form.querySelectorAll("button")) button.disabled = true;
    await refresh(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) }, form);
    for (const button of form.querySelectorAll("button")) button.disabled = false;
  });

  // A filter changes the address, as its form would.
  let sifting = null;
  const sift = (form) => {
    clearTimeout(sifting);
    const url = new URL(form.action, document.baseURI);
    url.search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    history.replaceState(null, "", plain(url.href));
    refresh();
  };

  document.addEventListener("input", (event) => {
    const form = event.target.closest("form.filter");
    if (!form) return;
    clearTimeout(sifting);
    sifting = setTimeout(() => sift(form), event.target.type === "checkbox" ? 0 : 250);
  });

  window.addEventListener("popstate", () => refresh());
  document.addEventListener("visibilitychange", () => document.hidden || still());
  setInterval(tellTimes, 5000);
  setInterval(tellLasting, 1000);
  tellTimes();
  again();
})();
