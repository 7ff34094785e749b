// The picture of a trace: move it, play it over time, find accounts, filter, save as PNG; and the
// progress of one that is on its way. The page works without it: picture and table stand there.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);

  // Progress: what a screen reader hears when the phase changes.
  const said = byId("progress-said");
  if (said) {
    let last = document.querySelector("[data-phase]")?.textContent ?? "";
    document.body.addEventListener("htmx:afterSettle", () => {
      const now = document.querySelector("[data-phase]")?.textContent ?? "";
      if (now !== last) said.textContent = last = now;
    });
  }

  const picture = byId("picture");
  const view = byId("picture-view");
  if (!picture || !view) return;
  const table = byId("accounts");
  const rows = [...table.tBodies[0].rows];
  const nodes = new Map([...picture.querySelectorAll(".pic-node")].map((n) => [n.dataset.node, n]));
  const edges = [...picture.querySelectorAll(".pic-edge[data-from]")];
  const whole = { w: picture.viewBox.baseVal.width, h: picture.viewBox.baseVal.height };

  // Move and size: a window (x, y, scale) onto the picture.
  const look = { x: 0, y: 0, k: 1 };
  const show = () => {
    const w = view.clientWidth / look.k, h = view.clientHeight / look.k;
    look.x = Math.min(Math.max(look.x, -w * 0.6), whole.w - w * 0.4);
    look.y = Math.min(Math.max(look.y, -h * 0.6), whole.h - h * 0.4);
    picture.setAttribute("viewBox", `${look.x} ${look.y} ${w} ${h}`);
  };
  let asked = 0;
  const redraw = () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(show);
  };
  const fit = (least) => {
    const k = Math.min(view.clientWidth / whole.w, view.clientHeight / whole.h, 1.25);
    look.k = Math.max(k, least);
    look.x = Math.min(0, (whole.w - view.clientWidth / look.k) / 2);
    look.y = Math.min(0, (whole.h - view.clientHeight / look.k) / 2);
  };
  const zoom = (factor, px = view.clientWidth / 2, py = view.clientHeight / 2) => {
    const k = Math.min(Math.max(look.k * factor, 0.02), 8);
    look.x += px / look.k - px / k;
    look.y += py / look.k - py / k;
    look.k = k;
    redraw();
  };
  const move = (dx, dy) => {
    look.x += dx / look.k;
    look.y += dy / look.k;
    redraw();
  };
  const STEP = 80;
  const moves = {
    in: () => zoom(1.3),
    out: () => zoom(1 / 1.3),
    left: () => move(-STEP, 0),
    right: () => move(STEP, 0),
    up: () => move(0, -STEP),
    down: () => move(0, STEP),
    whole: () => { fit(0); redraw(); },
  };
  const keys = {
    "+": "in", "=": "in", "-": "out", 0: "whole",
    ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down",
  };
  view.classList.add("moves");
  // A small picture needs no tall frame; below READABLE nobody reads a name.
  const READABLE = 0.75;
  const tallest = whole.h * Math.max(Math.min(view.clientWidth / whole.w, 1.25), READABLE);
  if (tallest < view.clientHeight) view.style.height = `${Math.max(tallest, 240)}px`;
  picture.setAttribute("preserveAspectRatio", "xMinYMin meet");
  byId("picture-tools").hidden = false;
  for (const button of document.querySelectorAll("[data-move]")) {
    button.addEventListener("click", () => moves[button.dataset.move]());
  }
  view.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    moves[keys[event.key]]();
    event.preventDefault();
    event.stopPropagation();
  });
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const box = view.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });

  const fingers = new Map();
  let travelled = 0;
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  };
  view.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    fingers.set(event.pointerId, event);
    travelled = 0;
  });
  view.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
    const wide = fingers.size === 2 ? spread() : 0;
    fingers.set(event.pointerId, event);
    travelled += Math.abs(dx) + Math.abs(dy);
    if (travelled > 4 && !view.hasPointerCapture(event.pointerId)) {
      view.setPointerCapture(event.pointerId);
      view.classList.add("moved");
    }
    if (fingers.size === 2 && wide > 0) {
      const box = view.getBoundingClientRect();
      const [a, b] = [...fingers.values()];
      const x = (a.clientX + b.clientX) / 2 - box.left, y = (a.clientY + b.clientY) / 2 - box.top;
      zoom(spread() / wide, x, y);
    } else if (travelled > 4) {
      move(-dx, -dy);
    }
  });
  const lift = (event) => {
    fingers.delete(event.pointerId);
    view.classList.remove("moved");
  };
  view.addEventListener("pointerup", lift);
  view.addEventListener("pointercancel", lift);
  // Small pictures are seen as a whole; large ones begin at the left, large enough to read.
  fit(READABLE);
  const start = picture.querySelector('[data-kind="start"]');
  if (start && whole.h * look.k > view.clientHeight) {
    const box = start.getBBox();
    look.y = box.y + box.height / 2 - view.clientHeight / look.k / 2;
    look.x = Math.min(look.x, 0);
    if (box.x > whole.w / 2) look.x = whole.w - view.clientWidth / look.k;
  }
  show();
  new ResizeObserver(redraw).observe(view);

  // Pick an account, in the picture or in the table: the other shows it.
  let picked = null;
  const touching = new Map();
  for (const edge of edges) {
    for (const end of [edge.dataset.from, edge.dataset.to]) {
      if (!touching.has(end)) touching.set(end, []);
      touching.get(end).push(edge);
    }
  }
  const rowsOf = new Map();
  for (const row of rows) {
    if (!rowsOf.has(row.dataset.node)) rowsOf.set(row.dataset.node, []);
    rowsOf.get(row.dataset.node).push(row);
  }
  const mark = (id, on) => {
    nodes.get(id)?.classList.toggle("pic-picked", on);
    for (const edge of touching.get(id) ?? []) edge.classList.toggle("pic-picked", on);
    for (const row of rowsOf.get(id) ?? []) {
      row.classList.toggle("picked", on);
      row.querySelector(".find").setAttribute("aria-pressed", on);
    }
  };
  const pick = (id) => {
    if (picked !== null) mark(picked, false);
    picked = picked === id ? null : id;
    if (picked !== null) mark(picked, true);
    picture.classList.toggle("has-picked", picked !== null);
    return picked !== null;
  };
  picture.addEventListener("click", (event) => {
    if (travelled > 4) return;
    const node = event.target.closest(".pic-node");
    if (!node) {
      if (picked !== null) pick(picked);
      return;
    }
    if (!pick(node.dataset.node)) return;
    const row = (rowsOf.get(node.dataset.node) ?? [])[0];
    if (!row) return;
    row.hidden = false;
    const box = row.closest(".scroll");
    box.scrollTop = row.offsetTop - box.clientHeight / 2;
  });
  table.classList.add("found");
  table.addEventListener("click", (event) => {
    const row = event.target.closest(".find")?.closest("tr");
    if (!row || !pick(row.dataset.node)) return;
    const box = nodes.get(row.dataset.node).getBBox();
    look.k = Math.max(look.k, READABLE);
    look.x = box.x + box.width / 2 - view.clientWidth / look.k / 2;
    look.y = box.y + box.height / 2 - view.clientHeight / look.k / 2;
    redraw();
  });

  // What the table's filter leaves out grows pale in the picture.
  const filter = byId("filter");
  const text = byId("filter-text"), least = byId("filter-least");
  const returned = byId("filter-returned"), told = byId("filter-said");
  const more = byId("more-rows"), all = more.querySelector("button");
  // So many rows are laid out; the rest come when they are asked for, or fit a filter.
  let room = 300;
  const names = rows.map((row) => row.querySelector(".id").textContent.toLowerCase());
  const written = (number) => number.toLocaleString(document.documentElement.lang);
  const sift = () => {
    const wanted = text.value.trim().toLowerCase();
    const from = least.valueAsNumber;
    const left = new Set();
    let count = 0;
    rows.forEach((row, i) => {
      const fits = names[i].includes(wanted)
        && !(Number(row.dataset.amount) < from)
        && (!returned.checked || "returned" in row.dataset);
      const away = !fits || count >= room;
      if (row.hidden !== away) row.hidden = away;
      if (fits) {
        left.add(row.dataset.node);
        count += 1;
      }
    });
    more.hidden = count <= room;
    all.textContent = all.dataset.said.replace("{n}", written(count));
    const kept = (id) => count === rows.length || left.has(id) || nodes.get(id)?.dataset.kind === "bank";
    for (const [id, node] of nodes) node.classList.toggle("pic-dim", !kept(id));
    for (const edge of edges) {
      edge.classList.toggle("pic-dim", !(kept(edge.dataset.from) && kept(edge.dataset.to)));
    }
    told.textContent = told.dataset.said
      .replace("{shown}", written(count))
      .replace("{all}", written(rows.length));
  };
  let sifting = 0;
  const siftSoon = () => {
    clearTimeout(sifting);
    sifting = setTimeout(sift, 150);
  };
  filter.hidden = false;
  filter.addEventListener("submit", (event) => event.preventDefault());
  for (const input of [text, least]) input.addEventListener("input", siftSoon);
  returned.addEventListener("change", sift);
  all.addEventListener("click", () => {
    room = Infinity;
    sift();
  });
  if (rows.length > room) sift();

  // Play: what comes after the chosen slice is not there yet.
  const time = byId("time");
  if (time) {
    const steps = time.dataset.steps.split(",").map(Number);
    const labels = [...byId("times").options].map((option) => option.label);
    const timed = [...nodes.values(), ...edges]
      .map((element) => ({ element, at: Number(element.dataset.slice) }))
      .sort((a, b) => a.at - b.at);
    let shown = timed.length;
    const showUntil = (index) => {
      const limit = steps[index];
      while (shown > 0 && timed[shown - 1].at > limit) timed[--shown].element.classList.add("pic-later");
      while (shown < timed.length && timed[shown].at <= limit) timed[shown++].element.classList.remove("pic-later");
      byId("time-name").textContent = labels[index];
      time.setAttribute("aria-valuetext", labels[index]);
    };
    const button = byId("play");
    const calm = matchMedia("(prefers-reduced-motion: reduce)");
    let running = 0;
    const name = () => {
      button.textContent = running ? button.dataset.pause : calm.matches ? button.dataset.step : button.dataset.play;
    };
    const stop = () => {
      clearInterval(running);
      running = 0;
      name();
    };
    const step = () => {
      const next = Number(time.value) + 1;
      if (next >= steps.length) return stop();
      time.value = next;
      showUntil(next);
      return undefined;
    };
    button.addEventListener("click", () => {
      if (running) return stop();
      if (Number(time.value) === steps.length - 1) {
        time.value = 0;
        showUntil(0);
        if (calm.matches) return undefined;
      }
      if (calm.matches) return step();
      running = setInterval(step, 900);
      return name();
    });
    time.addEventListener("input", () => {
      stop();
      showUntil(Number(time.value));
    });
    calm.addEventListener("change", stop);
    time.setAttribute("aria-valuetext", labels[labels.length - 1]);
    name();
  }

  // PNG: the saved picture, with its own colours, on a canvas.
  const png = byId("as-png");
  const LARGEST = 8192;
  const paint = async () => {
    const answer = await fetch(byId("as-svg").href);
    if (!answer.ok) throw new Error(String(answer.status));
    const source = URL.createObjectURL(await answer.blob());
    try {
      const image = new Image();
      image.src = source;
      await image.decode();
      const scale = Math.min(2, LARGEST / image.width, LARGEST / image.height);
      const canvas = document.createElement("canvas");
      canvas.width = Math.round(image.width * scale);
      canvas.height = Math.round(image.height * scale);
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      return await new Promise((done) => canvas.toBlob(done, "image/png"));
    } finally {
      URL.revokeObjectURL(source);
    }
  };
  png.hidden = false;
  png.addEventListener("click", async () => {
    png.disabled = true;
    try {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await paint());
      link.download = `${document.querySelector("[data-filename]").dataset.filename}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    } catch (error) {
      byId("png-said").textContent = String(error.message);
    } finally {
      png.disabled = false;
    }
  });
})();
