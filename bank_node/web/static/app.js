// What a script adds to pages that work without one: keys in lists, the note in reach, the look.
"use strict";

const STOP = "undercurrent-keys-off";
const GO = { a: "alerts", c: "cases", h: "home", t: "trace", r: "runs" };
let going = 0;

const kept = {
  get(name) { try { return localStorage.getItem(name); } catch { return null; } },
  set(name, value) {
    try { if (value) { localStorage.setItem(name, value); } else { localStorage.removeItem(name); } } catch { /* the browser keeps nothing */ }
  },
};

function lines() { return [...document.querySelectorAll("[data-list] [data-open]")]; }

function move(step) {
  const all = lines();
  if (all.length === 0) { return; }
  const row = document.activeElement.closest("[data-list] tr");
  const here = row ? all.findIndex((link) => row.contains(link)) : -1;
  const next = here < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(here + step, 0), all.length - 1);
  all[next].focus();
  all[next].closest("tr").scrollIntoView({ block: "nearest" });
}

function pick() {
  const row = document.activeElement.closest("[data-list] tr");
  const box = row && row.querySelector("input[type=checkbox]");
  if (box) { box.checked = !box.checked; count(); }
}

function count() {
  for (const form of document.querySelectorAll("form:has([data-bulk])")) {
    const chosen = form.querySelectorAll("[data-list] input[type=checkbox]:checked").length;
    form.querySelector("[data-count]").textContent = chosen ? `(${chosen})` : "";
  }
}

function first() {
  const note = [...document.querySelectorAll("[data-note], [data-first]")].find((e) => e.checkVisibility());
  if (note) { note.focus(); note.scrollIntoView({ block: "center" }); }
}

function writing(target) {
  return target.closest("input:not([type=checkbox]):not([type=radio]), select, textarea, [contenteditable]");
}

function help() {
  const dialog = document.getElementById("help");
  if (dialog && !dialog.open) { dialog.showModal(); }
}

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  x: pick,
  n: first,
  "/": () => document.querySelector("[data-filter]")?.focus(),
  "?": help,
  g: () => { going = Date.now(); },
};

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    const form = event.target.closest("form");
    if (form && form.method === "post") { event.preventDefault(); form.requestSubmit(); }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || kept.get(STOP)) { return; }
  if (writing(event.target) || document.querySelector("dialog[open]")) { return; }
  if (Date.now() - going < 1500 && GO[event.key]) {
    going = 0;
    const link = document.querySelector(`[data-go="${GO[event.key]}"]`);
    if (link) { event.preventDefault(); link.click(); }
    return;
  }
  const act = Object.hasOwn(KEYS, event.key) && KEYS[event.key];
  if (act) { event.preventDefault(); act(); }
});

document.addEventListener("change", (event) => {
  if (event.target.closest("[data-list]")) { count(); }
  if (event.target.id === "keys-on") { kept.set(STOP, event.target.checked ? "" : "off"); }
});

document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-view-form]");
  if (form) { form.elements.query.value = location.search.slice(1); }
}, true);

// The look changes at once; the form tells the server so that the next page comes right.
document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-theme-form]");
  const chosen = event.submitter && event.submitter.value;
  if (!form || !chosen) { return; }
  event.preventDefault();
  document.documentElement.dataset.theme = chosen;
  for (const button of form.querySelectorAll("[name=theme]")) {
    button.setAttribute("aria-pressed", String(button.value === chosen));
  }
  const body = new URLSearchParams(new FormData(form));
  body.set("theme", chosen);
  fetch(form.action, { method: "POST", body, redirect: "manual" }).catch(() => form.submit());
});

// One form, one answer: a second press does not send it again.
document.addEventListener("htmx:beforeRequest", (event) => toggle(event, true));
document.addEventListener("htmx:afterRequest", (event) => toggle(event, false));
function toggle(event, busy) {
  if (!(event.target instanceof HTMLFormElement) || event.target.method !== "post") { return; }
  for (const button of event.target.querySelectorAll("button")) { button.disabled = busy; }
}

document.addEventListener("htmx:sendError", () => {
  const notice = document.getElementById("notice");
  const words = document.createElement("p");
  words.className = "problem";
  words.textContent = notice.dataset.away;
  notice.replaceChildren(words);
  notice.scrollIntoView({ block: "center" });
});

document.addEventListener("htmx:afterSwap", (event) => {
  count();
  if (event.target.id === "notice") { event.target.scrollIntoView({ block: "center" }); }
});

document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("[data-help]")) {
    button.hidden = false;
    button.addEventListener("click", help);
  }
  const on = document.getElementById("keys-on");
  if (on) { on.checked = !kept.get(STOP); }
  count();
});
