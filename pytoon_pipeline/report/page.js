"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const fold = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const compare = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare;

  // Briefs: a card and a row each ---------------------------------------------------------------

  const grid = document.querySelector(".grid");
  const body = document.querySelector("tbody");
  const rows = new Map(all("tr", body).map((row) => [row.dataset.key, row]));

  // Three hundred players with controls and folded details weigh much, and filters are to be
  // instant: controls come with playing, details when they are unfolded.
  function lighten(card) {
    const video = card.querySelector("video");
    const more = card.querySelector(".more");
    const inside = more && more.querySelector(".inside");
    let light = null;
    if (video) {
      light = video.cloneNode();
      light.removeAttribute("controls");
      video.replaceWith(light);
    }
    if (inside) {
      inside.remove();
      more.addEventListener("toggle", () => {
        if (more.open) more.append(inside);
        else inside.remove();
      });
    }
    return [light, inside];
  }

  const briefs = all(".card").map((card) => {
    const d = card.dataset;
    const said = all("h2 bdi, .hook, .problems, .kind, .words", card);
    const text = fold(said.map((node) => node.textContent).join(" "));
    const [video, inside] = lighten(card);
    return {
      card,
      video,
      inside,
      text,
      row: rows.get(d.key),
      name: d.key,
      state: d.state,
      marks: d.marks.split(" "),
      archetype: d.archetype,
      preset: d.preset,
      locale: d.locale,
      engine: d.engine.split("|"),
      base: d.base,
      updated: Number(d.updated),
      length: d.length === "" ? null : Number(d.length),
      render: d.render === "" ? null : Number(d.render),
      loudness: d.loudness === "" ? null : Number(d.loudness),
    };
  });

  // What is shown, in the address's hash ----------------------------------------------------------

  const FACETS = ["archetype", "preset", "locale", "engine"];
  const DOWN_FIRST = ["updated", "length", "render", "loudness"];
  const VIEWS = ["grid", "table", "figures"].filter((name) => $("view-" + name));
  const fresh = () => ({ q: "", pick: "", base: "", sort: "name", turn: false, view: "grid",
    archetype: "", preset: "", locale: "", engine: "" });
  let now = fresh();
  let shown = briefs;

  function read() {
    const said = new URLSearchParams(location.hash.slice(1));
    const next = fresh();
    for (const name of Object.keys(next)) {
      if (name !== "turn" && said.has(name)) next[name] = said.get(name);
    }
    next.turn = said.get("turn") === "1";
    if (!VIEWS.includes(next.view)) next.view = "grid";
    if (![...$("sort").options].some((o) => o.value === next.sort)) next.sort = "name";
    now = next;
    return said.get("play");
  }

  function write() {
    const said = new URLSearchParams();
    const plain = fresh();
    for (const [name, value] of Object.entries(now)) {
      if (value !== plain[name]) said.set(name, value === true ? "1" : value);
    }
    if ($("player").open && current) said.set("play", current.name);
    const hash = said.toString();
    if (hash !== location.hash.slice(1)) {
      history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
    }
  }

  function fits(brief, words) {
    const [kind, value] = now.pick.split(":");
    if (kind === "state" && brief.state !== value) return false;
    if (kind === "mark" && !brief.marks.includes(value)) return false;
    if (now.base && brief.base !== now.base && brief.name !== now.base) return false;
    for (const name of FACETS) {
      const wanted = now[name];
      if (wanted && !(name === "engine" ? brief.engine.includes(wanted) : brief[name] === wanted)) {
        return false;
      }
    }
    return words.every((word) => brief.text.includes(word));
  }

  function order(a, b) {
    const x = a[now.sort], y = b[now.sort];
    // What has no such number comes last whichever way round.
    if (x === null || y === null) {
      return (x === null) - (y === null) || compare(a.name, b.name);
    }
    const way = now.sort === "name" ? compare(x, y) : x - y;
    const down = DOWN_FIRST.includes(now.sort) !== now.turn;
    return (down ? -way : way) || compare(a.name, b.name);
  }

  let placed = "";
  function show() {
    const words = fold(now.q).split(/\s+/).filter(Boolean);
    const sorted = [...briefs].sort(order);
    shown = sorted.filter((brief) => fits(brief, words));
    const visible = new Set(shown);
    for (const brief of briefs) {
      const away = !visible.has(brief);
      if (away && brief.video && !brief.video.paused) brief.video.pause();
      brief.card.hidden = away;
      brief.row.hidden = away;
    }
    // Moving a card ends its playing, so cards move only when their order changes.
    const mark = now.sort + now.turn;
    if (mark !== placed) {
      grid.append(...sorted.map((brief) => brief.card));
      body.append(...sorted.map((brief) => brief.row));
      placed = mark;
    }
    for (const name of VIEWS) $("view-" + name).hidden = now.view !== name;
    if (now.view === "table") pictures();
    for (const none of all(".none")) none.hidden = shown.length > 0;
    controls();
  }

  function controls() {
    if ($("q").value !== now.q) $("q").value = now.q;
    for (const name of FACETS) {
      const select = $("f-" + name);
      if (!select) continue;
      select.value = now[name];
      select.classList.toggle("on", now[name] !== "");
    }
    $("sort").value = now.sort;
    $("turn").setAttribute("aria-pressed", String(DOWN_FIRST.includes(now.sort) === now.turn));
    for (const chip of all(".chip")) {
      chip.setAttribute("aria-pressed", String(chip.dataset.pick === now.pick));
    }
    for (const button of all("[data-view]")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === now.view));
    }
    for (const head of all("th[data-sort]")) {
      const down = DOWN_FIRST.includes(now.sort) !== now.turn;
      if (head.dataset.sort !== now.sort) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", down ? "descending" : "ascending");
    }
    const filtered = shown.length !== briefs.length;
    const of = now.base ? ` (variants of ${now.base})` : "";
    $("shown").textContent = filtered || of
      ? `${shown.length} of ${briefs.length} briefs${of}` : `${briefs.length} briefs`;
    $("clear").hidden = !filtered && !of;
  }

  function set(changes) {
    Object.assign(now, changes);
    show();
    write();
  }

  function sortBy(name) {
    set(name === now.sort ? { turn: !now.turn } : { sort: name, turn: false });
  }

  function pictures() {
    for (const brief of briefs) {
      const cell = brief.row.querySelector(".thumb");
      const still = brief.card.querySelector("img");
      const source = brief.video ? brief.video.poster : still ? still.src : "";
      if (cell.firstChild || !source) continue;
      const image = new Image();
      image.decoding = "async";
      image.alt = "";
      image.src = source;
      cell.append(image);
    }
  }

  $("q").addEventListener("input", (event) => set({ q: event.target.value }));
  $("sort").addEventListener("change", (event) => set({ sort: event.target.value, turn: false }));
  $("unfold").addEventListener("click", () => {
    const folded = $("tools").classList.toggle("folded");
    $("unfold").setAttribute("aria-expanded", String(!folded));
    room();
  });
  $("turn").addEventListener("click", () => set({ turn: !now.turn }));
  $("clear").addEventListener("click", () => set({ ...fresh(), sort: now.sort, turn: now.turn, view: now.view }));
  document.querySelector(".tools").addEventListener("submit", (event) => event.preventDefault());
  for (const select of all("[data-facet]")) {
    select.addEventListener("change", () => set({ [select.dataset.facet]: select.value }));
  }
  for (const chip of all(".chip")) {
    chip.addEventListener("click", () => set({ pick: chip.dataset.pick }));
  }
  for (const button of all("[data-view]")) {
    button.addEventListener("click", () => set({ view: button.dataset.view }));
  }
  for (const head of all("th[data-sort] button")) {
    head.addEventListener("click", () => sortBy(head.parentElement.dataset.sort));
  }

  // Playing in place ------------------------------------------------------------------------------

  function rest(video) {
    video.controls = false;
    video.removeAttribute("data-playing");
    if (video.currentTime > 0) video.load(); // Shows the poster again.
  }

  function quiet(but) {
    for (const brief of briefs) {
      if (brief.video && brief.video !== but && brief.video.hasAttribute("data-playing")) {
        brief.video.pause();
        rest(brief.video);
      }
    }
  }

  function lost(stage) {
    if (stage.querySelector(".broken-video")) return;
    const said = document.createElement("p");
    said.className = "broken-video";
    said.setAttribute("role", "alert");
    said.textContent = "The video can't be played: its file is not where this page expects it.";
    stage.append(said);
  }

  function play(brief) {
    quiet(brief.video);
    brief.video.controls = true;
    brief.video.setAttribute("data-playing", "");
    brief.video.play().catch(() => {});
    brief.video.focus();
  }

  for (const brief of briefs) {
    if (!brief.video) continue;
    const { video, card } = brief;
    video.addEventListener("ended", () => rest(video));
    video.addEventListener("error", () => {
      rest(video);
      lost(video.parentElement);
    });
    card.querySelector(".play").addEventListener("click", () => play(brief));
    for (const opener of [".expand", "button.name"]) {
      card.querySelector(opener).addEventListener("click", () => open(brief));
    }
    const inTable = brief.row.querySelector("button.name");
    if (inTable) inTable.addEventListener("click", () => open(brief));
  }
  for (const button of all(".variants")) {
    button.addEventListener("click", () => {
      set({ ...fresh(), base: button.dataset.base, view: now.view });
      scrollTo({ top: 0, behavior: calm.matches ? "auto" : "smooth" });
    });
  }

  // The large player ------------------------------------------------------------------------------

  const dialog = $("player");
  const screen = $("player-video");
  let current = null;

  const playable = () => shown.filter((brief) => brief.video);

  function copy(target, source) {
    target.replaceChildren(...(source ? [...source.cloneNode(true).childNodes] : []));
    target.hidden = !source;
  }

  function open(brief, start = true) {
    quiet(null);
    current = brief;
    const { card, video } = brief;
    screen.poster = video.poster;
    screen.src = video.src;
    screen.setAttribute("aria-label", brief.name);
    $("player-name").textContent = brief.name;
    const hook = card.querySelector(".hook");
    copy($("player-hook"), hook);
    if (hook) $("player-hook").lang = hook.lang;
    copy($("player-kind"), card.querySelector(".kind"));
    copy($("player-links"), card.querySelector(".links"));
    copy($("player-inside"), brief.inside);
    $("player-marks").replaceChildren(
      ...all(".more .badge", card).map((badge) => badge.cloneNode(true)));
    for (const at of all(".at", $("player-inside"))) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "at";
      button.textContent = at.textContent;
      button.setAttribute("aria-label", "Go to " + at.textContent);
      button.addEventListener("click", () => {
        screen.currentTime = Number(at.dataset.at);
        screen.play().catch(() => {});
      });
      at.replaceWith(button);
    }
    const list = playable();
    const place = list.indexOf(brief);
    $("player-place").textContent = place < 0 ? "" : `${place + 1} of ${list.length}`;
    $("player-back").disabled = $("player-next").disabled = list.length < 2;
    document.querySelector(".player-side").scrollTop = 0;
    if (!dialog.open) {
      dialog.showModal();
      screen.focus();
    }
    if (start) screen.play().catch(() => {});
    write();
  }

  function step(by) {
    const list = playable();
    if (!list.length) return;
    const place = list.indexOf(current);
    open(list[(place + by + list.length) % list.length], !calm.matches);
  }

  $("player-next").addEventListener("click", () => step(1));
  $("player-back").addEventListener("click", () => step(-1));
  $("player-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => {
    const last = current;
    screen.pause();
    screen.removeAttribute("src");
    screen.load();
    current = null;
    write();
    if (last && !last.card.hidden) {
      const from = now.view === "table" ? last.row : last.card;
      const back = from.querySelector("button.name");
      if (back) back.focus();
    }
  });
  // Before the video's own keys, which would wind it.
  dialog.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const scrolls = event.key.length > 8 || event.target.closest(".player-side") === null;
    if (by && (event.key.endsWith("Right") || event.key.endsWith("Left") || scrolls)) {
      event.preventDefault();
      event.stopPropagation();
      step(by);
    } else if (event.key === " " && !event.target.closest("button, a, summary")) {
      event.preventDefault();
      event.stopPropagation();
      if (screen.paused) screen.play().catch(() => {});
      else screen.pause();
    }
  }, true);

  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !dialog.open && !event.target.closest("input, select")) {
      event.preventDefault();
      $("q").focus();
    }
  });

  // Times of the reader's own clock -----------------------------------------------------------------

  const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const short = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });
  const times = briefs.flatMap((brief) => (brief.inside ? all("time", brief.inside) : []));
  for (const time of [...all("time"), ...times]) {
    time.title = time.textContent;
    time.textContent = (time.className ? short : clock).format(new Date(time.dateTime));
  }

  // Labels stand inside their selects, which make room for them.
  function room() {
    for (const label of all(".pick")) {
      const width = label.firstElementChild.offsetWidth;
      if (width) label.style.setProperty("--label", width + 6 + "px");
    }
  }
  room();
  addEventListener("resize", room);

  function restore() {
    const wanted = read();
    show();
    const brief = wanted && briefs.find((b) => b.name === wanted && b.video);
    if (brief && brief !== current) open(brief, false);
    else if (!brief && dialog.open) dialog.close();
  }
  addEventListener("hashchange", restore);
  restore();
})();
