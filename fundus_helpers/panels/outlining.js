// Outlines over the photographs of all visits, and the tools to correct them (after elements.js).
// Everything is computed in Python. Here, pictures and lines are drawn, and strokes are sent.

const TOOLS = [
  { name: "in", words: "Paint in", key: "i", tip: "what is atrophic at this visit" },
  { name: "out", words: "Paint out", key: "o", tip: "what is healthy at this visit" },
  { name: "ellipse", words: "Ellipse", key: "e", tip: "drag around all the atrophy" },
  { name: "fovea", words: "Fovea", key: "f", tip: "click on the middle of the fovea" },
  { name: "disc", words: "Disc", key: "d", tip: "drag a diameter of the optic disc" },
];
const HELP =
  "Keys: ← → visit, i paint in, o paint out, [ ] size of the brush, e ellipse (drag), r turns it, " +
  "f fovea (click), d disc (drag its diameter), Delete removes the mark of the chosen tool, or " +
  "what was painted at this visit, Ctrl+Z undo, h outlines hidden or shown, Ctrl+S save.";
const SMALLEST = 1;
const LARGEST = 60;

function floats(view) {
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

function render({ model, el }) {
  const root = element("div", "fundus-outliner", el);
  root.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab deletes a cell by "d d"
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "outlines of the atrophy at all visits");
  const tools = element("div", "fundus-outliner-tools", root);
  tools.setAttribute("role", "toolbar");
  tools.setAttribute("aria-label", "tools");
  const arranged = element("div", "fundus-outliner-arranged", root);
  const stage = element("div", "fundus-outliner-stage", arranged);
  const canvas = element("canvas", "", stage);
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  const visits = element("div", "fundus-outliner-visits", stage);
  const told = element("div", "fundus-outliner-told", arranged);
  const actions = element("div", "fundus-outliner-actions", told);
  const status = element("p", "fundus-outliner-status", told);
  status.setAttribute("role", "status");
  const table = element("div", "fundus-outliner-table", told);
  const notes = element("ul", "", told);
  element("p", "fundus-outliner-help", stage, HELP);

  let tool = "in";
  let radius = 6;
  let hidden = false;
  let drawn = null; // the line that is being drawn
  let at = null; // where the pointer is
  let waiting = []; // strokes that Python has not answered yet
  const urls = [];

  const size = () => model.get("size");
  const visit = () => model.get("visit");

  function send(kind, content) {
    const token = Math.max(Date.now(), (send.last || 0) + 1);
    send.last = token;
    model.send({ kind, token, visit: visit(), ...content });
    return token;
  }

  // Tools and actions.
  const chosen = TOOLS.map(({ name, words, key, tip }) => {
    const made = button(tools, words, key, tip, () => choose(name));
    made.setAttribute("aria-keyshortcuts", key);
    return { name, made };
  });
  const brush = element("label", "", tools, "brush");
  const brushSize = element("input", "", brush);
  Object.assign(brushSize, { type: "range", min: SMALLEST, max: LARGEST, step: 1 });
  brushSize.setAttribute("aria-label", "radius of the brush in pixels");
  const brushTold = element("output", "", brush);
  const free = element("label", "", tools);
  const freeBox = element("input", "", free);
  freeBox.type = "checkbox";
  free.append("no atrophy at the first visit");
  button(actions, "Undo", "Ctrl+Z", "take back the last change", () => send("undo"));
  const remove = () => send("remove", { tool });
  button(actions, "Remove", "Del", "the mark of the tool, or all paint at this visit", remove);
  button(actions, "Save", "Ctrl+S", "keep all that is drawn", () => send("save"));
  const exportTip = "write the outline of every visit on its own photograph's grid";
  button(actions, "Export outlines", "", exportTip, () => send("export"));
  const saved = element("span", "fundus-outliner-saved", actions);
  saved.setAttribute("role", "status");

  // The slider through the visits.
  const back = button(visits, "◀", "", "the visit before", () => step(-1));
  const slider = element("input", "", visits);
  Object.assign(slider, { type: "range", min: 0, step: 1 });
  slider.setAttribute("aria-label", "visit");
  const forth = button(visits, "▶", "", "the next visit", () => step(1));
  const date = element("output", "", visits);
  back.setAttribute("aria-label", "the visit before");
  forth.setAttribute("aria-label", "the next visit");

  function choose(name) {
    tool = name;
    drawn = null;
    for (const each of chosen) each.made.setAttribute("aria-pressed", each.name === name);
    draw();
  }

  function resize(value) {
    radius = Math.min(Math.max(value, SMALLEST), LARGEST);
    brushSize.value = radius;
    brushTold.textContent = `${radius} px`;
    draw();
  }

  function go(to) {
    const kept = Math.min(Math.max(to, 0), model.get("names").length - 1);
    if (kept === visit()) return;
    model.set("visit", kept);
    model.save_changes();
  }

  const step = (by) => go(visit() + by);

  // Pictures.
  const images = model.get("pictures").map((bytes) => {
    const image = new Image();
    image.addEventListener("load", () => draw());
    urls.push(URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })));
    image.src = urls[urls.length - 1];
    return image;
  });

  function draw() {
    const [width, height] = size();
    const shown = canvas.clientWidth || width;
    const scale = (shown / width) * (window.devicePixelRatio || 1);
    const wanted = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== wanted[0]) canvas.width = wanted[0];
    if (canvas.height !== wanted[1]) canvas.height = wanted[1];
    const pen = canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    const image = images[visit()];
    if (image && image.complete && image.naturalWidth) pen.drawImage(image, 0, 0, ...wanted);
    pen.setTransform(scale, 0, 0, scale, scale / 2, scale / 2); // pixel centres are at integers
    const thin = width / shown;
    pen.lineJoin = pen.lineCap = "round";
    if (!hidden) {
      drawOutlines(pen, thin);
      drawMarks(pen, thin);
    }
    for (const stroke of waiting) if (stroke.visit === visit()) drawStroke(pen, stroke);
    if (drawn) drawDrawn(pen, thin);
    if (at && paints()) haloed(pen, thin, () => pen.arc(at[0], at[1], radius, 0, 2 * Math.PI), 1);
  }

  const paints = () => tool === "in" || tool === "out";

  function drawOutlines(pen, thin) {
    const bytes = model.get("outlines")[visit()];
    if (!bytes || !bytes.byteLength) return;
    const line = floats(bytes);
    haloed(pen, thin, () => {
      let open = false;
      for (let i = 0; i < line.length; i += 2) {
        if (Number.isNaN(line[i])) open = false;
        else if (open) pen.lineTo(line[i], line[i + 1]);
        else pen.moveTo(line[i], line[i + 1]), (open = true);
      }
    });
  }

  function ellipsePath(pen, [x, y, a, b, angle]) {
    return () => pen.ellipse(x, y, a, b, (angle * Math.PI) / 180, 0, 2 * Math.PI);
  }

  function crossPath(pen, [x, y], long) {
    return () => {
      pen.moveTo(x - long, y);
      pen.lineTo(x + long, y);
      pen.moveTo(x, y - long);
      pen.lineTo(x, y + long);
    };
  }

  function discPath(pen, [x, y, u, v]) {
    return () => {
      pen.arc((x + u) / 2, (y + v) / 2, Math.hypot(u - x, v - y) / 2, 0, 2 * Math.PI);
      pen.moveTo(x, y);
      pen.lineTo(u, v);
    };
  }

  function drawMarks(pen, thin) {
    const { ellipse, fovea, disc } = model.get("marks");
    if (ellipse) haloed(pen, thin, ellipsePath(pen, ellipse), 1.4, [7, 5]);
    if (fovea) haloed(pen, thin, crossPath(pen, fovea, 8 * thin), 1.8);
    if (disc) haloed(pen, thin, discPath(pen, disc), 1.4, [2, 4]);
  }

  function drawStroke(pen, { tool: by, points, radius: wide }) {
    const colour = getComputedStyle(root).getPropertyValue(`--fundus-${by}`).trim();
    pen.globalAlpha = 0.55;
    pen.strokeStyle = colour;
    pen.lineWidth = 2 * wide;
    pen.beginPath();
    pen.moveTo(...points[0]);
    for (const point of points) pen.lineTo(...point);
    pen.stroke();
    pen.globalAlpha = 1;
  }

  function framed([x, y], [u, v]) {
    return [(x + u) / 2, (y + v) / 2, Math.abs(u - x) / 2, Math.abs(v - y) / 2, 0];
  }

  function drawDrawn(pen, thin) {
    const [first, last] = [drawn[0], drawn[drawn.length - 1]];
    if (paints()) drawStroke(pen, { tool, points: drawn, radius });
    if (tool === "ellipse") haloed(pen, thin, ellipsePath(pen, framed(first, last)), 1.4, [7, 5]);
    if (tool === "disc") haloed(pen, thin, discPath(pen, [...first, ...last]), 1.4, [2, 4]);
    if (tool === "fovea") haloed(pen, thin, crossPath(pen, last, 8 * thin), 1.8);
  }

  // The pointer.
  function place(event) {
    const [width, height] = size();
    const box = canvas.getBoundingClientRect();
    const inside = (value, most) => Math.min(Math.max(value, 0), most);
    return [
      inside(((event.clientX - box.left) / box.width) * width - 0.5, width - 1),
      inside(((event.clientY - box.top) / box.height) * height - 0.5, height - 1),
    ];
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || drawn) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    drawn = [place(event)];
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    at = place(event);
    if (drawn) {
      const passed = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      drawn.push(...(passed.length ? passed : [event]).map(place));
    }
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!drawn) return;
    drawn.push(place(event));
    finish(drawn);
    drawn = null;
    draw();
  });
  canvas.addEventListener("pointercancel", () => ((drawn = null), draw()));
  canvas.addEventListener("pointerleave", () => ((at = null), draw()));

  function finish(points) {
    const [first, last] = [points[0], points[points.length - 1]];
    const [width, height] = [Math.abs(last[0] - first[0]), Math.abs(last[1] - first[1])];
    if (paints()) {
      const stroke = { tool, points, radius, visit: visit() };
      stroke.token = send("stroke", stroke);
      waiting.push(stroke);
    } else if (tool === "fovea") send("fovea", { points: [last] });
    else if (tool === "ellipse" && Math.min(width, height) > 3) {
      send("ellipse", { ellipse: framed(first, last) });
    } else if (tool === "disc" && Math.hypot(width, height) > 3) {
      send("disc", { points: [first, last] });
    }
  }

  // The keys.
  const keys = {
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    Home: () => go(0),
    End: () => go(Infinity),
    "[": () => resize(radius - 1),
    "]": () => resize(radius + 1),
    r: () => send("turn", { degrees: 15 }),
    h: () => ((hidden = !hidden), draw()),
    Delete: remove,
    Escape: () => ((drawn = null), draw()),
  };
  for (const { name, key } of TOOLS) keys[key] = () => choose(name);
  root.addEventListener("keydown", (event) => {
    const controlled = event.ctrlKey || event.metaKey;
    let does = null;
    if (controlled && event.key.toLowerCase() === "z") does = () => send("undo");
    else if (controlled && event.key.toLowerCase() === "s") does = () => send("save");
    else if (!controlled && !event.altKey) does = keys[event.key] || keys[event.key.toLowerCase()];
    const moves = event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End";
    if (moves && event.target.type === "range") does = null; // it moves by itself
    if (does) {
      event.preventDefault();
      does();
    }
    event.stopPropagation();
  });
  brushSize.addEventListener("input", () => resize(Number(brushSize.value)));
  slider.addEventListener("input", () => go(Number(slider.value)));
  freeBox.addEventListener("change", () => send("first_free", { value: freeBox.checked }));

  // What Python tells.
  function tellVisit() {
    const names = model.get("names");
    slider.max = names.length - 1;
    slider.value = visit();
    slider.setAttribute("aria-valuetext", `${names[visit()]}, ${visit() + 1} of ${names.length}`);
    date.textContent = `${names[visit()]} (${visit() + 1} of ${names.length})`;
    canvas.setAttribute("aria-label", `photograph and outline of the visit ${names[visit()]}`);
    for (const row of table.querySelectorAll("tr[data-visit]")) {
      row.setAttribute("aria-current", Number(row.dataset.visit) === visit());
    }
    draw();
  }

  function tellNumbers() {
    const { columns = [], rows = [], notes: lines = [] } = model.get("numbers");
    table.replaceChildren();
    notes.replaceChildren();
    for (const line of lines) element("li", "", notes, line);
    if (!columns.length) return;
    const made = element("table", "", table);
    const head = element("tr", "", element("thead", "", made));
    for (const column of columns) element("th", "", head, column).scope = "col";
    const body = element("tbody", "", made);
    rows.forEach((cells, i) => {
      const row = element("tr", "", body);
      row.dataset.visit = i;
      row.addEventListener("click", () => go(i));
      element("th", "", row, cells[0]).scope = "row";
      for (const cell of cells.slice(1)) element("td", "", row, cell);
    });
    tellVisit();
  }

  function tellStatus() {
    const { kind, words } = model.get("status");
    status.dataset.kind = kind;
    status.textContent = words;
  }

  function tellAnswer() {
    waiting = waiting.filter((stroke) => stroke.token > model.get("answered"));
    draw();
  }

  function tellMarks() {
    freeBox.checked = model.get("marks").first_free;
    draw();
  }

  const listeners = {
    "change:visit": tellVisit,
    "change:numbers": tellNumbers,
    "change:status": tellStatus,
    "change:answered": tellAnswer,
    "change:outlines": draw,
    "change:marks": tellMarks,
    "change:saved": () => (saved.textContent = model.get("saved")),
  };
  for (const [name, listener] of Object.entries(listeners)) model.on(name, listener);
  const watcher = new ResizeObserver(() => draw());
  watcher.observe(canvas);
  choose("in");
  resize(radius);
  tellNumbers();
  tellVisit();
  tellStatus();
  tellMarks();
  saved.textContent = model.get("saved");
  return () => {
    watcher.disconnect();
    urls.forEach((url) => URL.revokeObjectURL(url));
    for (const [name, listener] of Object.entries(listeners)) model.off(name, listener);
  };
}

export default { render };
