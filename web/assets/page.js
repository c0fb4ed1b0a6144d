// Keeps the page up to date: every few seconds, while somebody looks, it asks
// for what may have changed and puts in what has. Without it the page is whole,
// and reloading it does the same.
"use strict";
(() => {
  const every = 5000;
  const patience = 30000; // longer than the server takes at most
  const main = document.getElementById("main");
  const line = document.getElementById("refresh");
  const shown = new Map(); // by id, the source of each part as it was last put in
  let timer = 0;
  let busy = false;
  let last = new Date();

  const clock = (t) => t.toISOString().slice(11, 19) + " UTC";

  function say(text, late) {
    line.textContent = text;
    line.classList.toggle("late", late);
  }

  // put replaces one part, and keeps what the reader did to it: what is open,
  // where the focus is.
  function put(old, fresh) {
    const open = [...old.querySelectorAll("details[open]")].map((d) => d.id);
    const focus = old.contains(document.activeElement) ? document.activeElement : null;
    const summary = focus && focus.tagName === "SUMMARY";
    const id = focus && (summary ? focus.parentElement.id : focus.id);
    for (const d of open) {
      const again = fresh.querySelector("#" + CSS.escape(d));
      if (again) again.open = true;
    }
    old.replaceWith(fresh);
    if (id) {
      const again = document.getElementById(id);
      const target = again && summary ? again.querySelector("summary") : again;
      if (target) target.focus({ preventScroll: true });
    }
  }

  // selected says whether the reader has marked text in a part.
  function selected(part) {
    const s = document.getSelection();
    return s && !s.isCollapsed && part.contains(s.anchorNode);
  }

  function update(html) {
    const next = new DOMParser().parseFromString("<!doctype html><main>" + html + "</main>", "text/html");
    const parts = [...next.querySelectorAll("[data-live]")];
    const ids = (all) => all.map((e) => e.id).join(" ");
    const headline = document.getElementById("headline").textContent;
    if (ids(parts) !== ids([...main.querySelectorAll("[data-live]")])) {
      main.replaceChildren(...next.querySelector("main").childNodes);
      shown.clear();
    } else {
      for (const fresh of parts) {
        const source = fresh.outerHTML;
        const old = document.getElementById(fresh.id);
        if (shown.get(fresh.id) === source || selected(old)) continue;
        put(old, fresh);
        shown.set(fresh.id, source);
      }
    }
    const now = document.getElementById("headline").textContent;
    if (now !== headline) {
      document.getElementById("announce").textContent = now;
      document.title = now + " · defendersync";
    }
  }

  async function refresh() {
    if (busy) return;
    busy = true;
    try {
      const answer = await fetch("/?live", { cache: "no-store", signal: AbortSignal.timeout(patience) });
      if (!(answer.headers.get("Content-Type") || "").startsWith("text/html")) throw new Error("not the page");
      update(await answer.text());
      last = new Date();
      say("Refreshed " + clock(last), false);
    } catch {
      say("Not refreshed since " + clock(last) + ": the worker does not answer", true);
    } finally {
      busy = false;
    }
  }

  function start() {
    clearInterval(timer);
    timer = document.hidden ? 0 : setInterval(refresh, every);
  }

  document.addEventListener("visibilitychange", () => {
    start();
    if (!document.hidden) refresh();
  });
  say("Refreshed " + clock(last), false);
  start();
})();
