// Two photographs side by side in which points are placed (after elements.js).
// Everything is computed in Python. Here, pictures and points are drawn, and changes are sent.

const SIDES = ["fixed", "moving"];
const HELP =
  "Click in one photograph, then on the same place in the other, or press Enter where the dashed " +
  "ring is right. Drag a point to correct it. Keys: arrows move the chosen point by a pixel (with " +
  "Shift by ten), Tab changes the photograph, n and p the point, s snap, Enter confirm, u use, " +
  "Delete, Ctrl+Z undo, + and - zoom, 0 whole photograph, w a s d pan with Alt, c contrast, " +
  "r register, Ctrl+S save. The wheel zooms, and dragging with Shift pans both photographs.";
const COLOURS = { placed: "#fff", snapped: "#e69f00", proposed: "#56b4e9" };
const NEAR = 12; // pixels of the screen in which a click chooses a point
const ARROWS = 10; // residuals are drawn so many times as long
const LOUPE = 116; // side of the loupe in pixels of the screen
const MAGNIFIED = 4;

function render({ model, el }) {
  const root = element("div", "fundus-placer", el);
  root.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab deletes a cell by "d d"
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "points in two photographs");
  const tools = element("div", "fundus-placer-tools", root);
  const stage = element("div", "fundus-placer-stage", root);
  const canvases = {};
  for (const [side, words] of [["fixed", "template"], ["moving", "visit"]]) {
    const frame = element("figure", "", stage);
    element("figcaption", "", frame, words);
    const canvas = element("canvas", "", frame);
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", `${words}: click to place a point, arrow keys move it`);
    canvas.dataset.side = side;
    canvases[side] = canvas;
  }
  const actions = element("div", "fundus-placer-actions", root);
  const status = element("p", "fundus-placer-status", root);
  status.setAttribute("role", "status");
  const told = element("p", "fundus-placer-told", root);
  const below = element("div", "fundus-placer-below", root);
  const blendFrame = element("figure", "fundus-placer-blend", below);
  const blend = element("canvas", "", blendFrame);
  element(
    "figcaption", "", blendFrame,
    "Both photographs under the points so far (orange: the template is brighter, blue: the visit). " +
      `Arrows: residuals, ${ARROWS} times as long.`,
  );
  const list = element("div", "fundus-placer-list", below);
  const table = element("div", "fundus-placer-table", list);
  const leaving = element("fieldset", "fundus-placer-leaving", list);
  element("p", "fundus-placer-help", root, HELP);

  let chosen = -1;
  let coming = -1; // a point that was added and that Python has not answered yet
  let active = "fixed";
  let lit = 0; // 0: as photographed, 1: evenly lit
  let view = { x: 0, y: 0, zoom: 1 }; // middle in pixels of the template, and magnification
  let dragged = null; // { index, side, point } or { pan: [x, y] }
  let pointer = null; // { side, point }
  const images = { fixed: [], moving: [] };
  const blended = new Image();
  const urls = [];

  const spots = () => model.get("spots");
  const size = (side) => model.get(`${side}_size`);
  const away = () => model.get("moving").length === 0;

  function send(kind, content) {
    const token = Math.max(Date.now(), (send.last || 0) + 1);
    send.last = token;
    model.send({ kind, token, ...content });
  }

  // Tools and actions.
  const visitLabel = element("label", "", tools, "visit");
  const visits = element("select", "", visitLabel);
  const step = (by) => {
    const to = model.get("visit") + by;
    if (to < 0 || to >= model.get("names").length) return;
    model.set("visit", to);
    model.save_changes();
  };
  visits.addEventListener("change", () => step(Number(visits.value) - model.get("visit")));
  const contrast = button(tools, "Evenly lit", "c", "contrast: as photographed or evenly lit", () => {
    lit = 1 - lit;
    contrast.setAttribute("aria-pressed", lit === 1);
    draw();
  });
  button(tools, "Zoom in", "+", "", () => zoomBy(1.5));
  button(tools, "Zoom out", "-", "", () => zoomBy(1 / 1.5));
  button(tools, "Whole", "0", "the whole photographs", whole);
  const byLabel = element("label", "", tools, "placed by");
  const by = element("input", "", byLabel);
  Object.assign(by, { type: "text", size: 8, maxLength: 40, placeholder: "initials" });
  button(actions, "Snap", "s", "move the point to the best match nearby", () => at("snap"));
  button(actions, "Confirm", "Enter", "the partner is right as it is", () => at("confirm"));
  button(actions, "Use", "u", "for registering, or for judging only", () => at("use"));
  button(actions, "Delete", "Del", "remove the chosen point", remove);
  button(actions, "Undo", "Ctrl+Z", "take back the last change", () => send("undo"));
  button(actions, "Register", "r", "register the visit from its points", () => send("register"));
  button(actions, "Save", "Ctrl+S", "write landmarks.csv", () => send("save"));
  const saved = element("span", "fundus-placer-saved", actions);
  saved.setAttribute("role", "status");
  element("legend", "", leaving, "Leave this visit out");
  const reason = element("input", "", leaving);
  Object.assign(reason, { type: "text", placeholder: "reason, for example: a blink" });
  reason.setAttribute("aria-label", "reason");
  const leave = button(leaving, "Exclude this visit", "", "into excluded.csv; nothing is deleted", () =>
    send("exclude", { reason: reason.value }),
  );
  const back = button(leaving, "Take it back", "", "remove it from excluded.csv", () =>
    send("readmit"),
  );
  const why = element("span", "", leaving);

  function at(kind) {
    if (chosen >= 0 && chosen < spots().length) send(kind, { index: chosen });
  }

  function remove() {
    at("remove");
    choose(Math.min(chosen, spots().length - 2));
  }

  function choose(index) {
    chosen = index;
    tellSpots();
  }

  // Zoom and pan: one view for both photographs; the transform so far carries its middle over.
  function whole() {
    const [width, height] = size("fixed");
    view = { x: (width - 1) / 2, y: (height - 1) / 2, zoom: 1 };
    draw();
  }

  function middle(side) {
    if (view.zoom === 1) return size(side).map((each) => (each - 1) / 2); // whole photographs
    if (side === "fixed") return [view.x, view.y];
    const [a, b, c, d, e, f] = model.get("matrix");
    return [a * view.x + b * view.y + c, d * view.x + e * view.y + f];
  }

  function zoomBy(factor, side, point) {
    const zoom = Math.min(Math.max(view.zoom * factor, 1), 40);
    if (point) {
      const [x, y] = middle(side);
      const kept = 1 - view.zoom / zoom; // the place under the pointer stays where it is
      view.x += (point[0] - x) * kept;
      view.y += (point[1] - y) * kept;
    } else if (chosen >= 0 && spots()[chosen]) [view.x, view.y] = spots()[chosen].fixed;
    view.zoom = zoom;
    if (zoom === 1) whole();
    else draw();
  }

  function scaleOf(canvas, side) {
    const [width, height] = size(side);
    return view.zoom * Math.min(canvas.clientWidth / width, canvas.clientHeight / height);
  }

  function toScreen(canvas, side, [x, y]) {
    const [u, v] = middle(side);
    const scale = scaleOf(canvas, side);
    return [canvas.clientWidth / 2 + (x - u) * scale, canvas.clientHeight / 2 + (y - v) * scale];
  }

  function toImage(canvas, side, [x, y]) {
    const [u, v] = middle(side);
    const scale = scaleOf(canvas, side);
    return [u + (x - canvas.clientWidth / 2) / scale, v + (y - canvas.clientHeight / 2) / scale];
  }

  // Drawing.
  function prepared(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const wanted = [canvas.clientWidth * ratio, canvas.clientHeight * ratio].map(Math.round);
    if (canvas.width !== wanted[0]) canvas.width = wanted[0];
    if (canvas.height !== wanted[1]) canvas.height = wanted[1];
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    return pen;
  }

  function drawPhotograph(pen, canvas, side, scale, centre, [left, top]) {
    const image = images[side][lit];
    if (!image || !image.complete || !image.naturalWidth) return;
    const [width, height] = size(side);
    pen.imageSmoothingEnabled = scale < 6;
    const x = left - (centre[0] + 0.5) * scale; // pixel centres are at integers
    const y = top - (centre[1] + 0.5) * scale;
    pen.drawImage(image, x, y, width * scale, height * scale);
  }

  function place(spot, index, side) {
    if (dragged && dragged.index === index && dragged.side === side) return dragged.point;
    return spot[side];
  }

  function drawSide(side) {
    const canvas = canvases[side];
    if (!canvas.clientWidth) return;
    const pen = prepared(canvas);
    const scale = scaleOf(canvas, side);
    const half = [canvas.clientWidth / 2, canvas.clientHeight / 2];
    if (side === "moving" && away()) {
      pen.fillStyle = "#fff";
      pen.font = "14px sans-serif";
      pen.fillText("excluded", half[0] - 28, half[1]);
      return;
    }
    drawPhotograph(pen, canvas, side, scale, middle(side), half);
    spots().forEach((spot, index) => drawSpot(pen, canvas, spot, index, side));
    drawLoupe(pen, canvas, side);
  }

  function drawSpot(pen, canvas, spot, index, side) {
    const [x, y] = toScreen(canvas, side, place(spot, index, side));
    const state = side === "moving" ? spot.state : "placed";
    const radius = index === chosen ? 9 : 6;
    const dash = state === "proposed" ? [3, 3] : [];
    for (const [colour, wide] of [["rgba(0, 0, 0, 0.8)", 4.5], [COLOURS[state], 2]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = wide;
      pen.setLineDash(colour === COLOURS[state] ? dash : []);
      pen.beginPath();
      if (spot.use === "judging") pen.rect(x - radius, y - radius, 2 * radius, 2 * radius);
      else pen.arc(x, y, radius, 0, 2 * Math.PI);
      for (const [u, v] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        pen.moveTo(x + u * 2, y + v * 2);
        pen.lineTo(x + u * 4, y + v * 4);
      }
      pen.stroke();
    }
    pen.setLineDash([]);
    const mark = { placed: "", snapped: " ?", proposed: " …" }[state];
    pen.font = `${index === chosen ? "bold " : ""}13px sans-serif`;
    pen.lineWidth = 3;
    pen.strokeStyle = "#000";
    pen.fillStyle = COLOURS[state];
    pen.strokeText(`${index + 1}${mark}`, x + radius + 3, y - radius);
    pen.fillText(`${index + 1}${mark}`, x + radius + 3, y - radius);
  }

  // The loupe shows what is under the pointer, or else the chosen point, in the emptier corner.
  function drawLoupe(pen, canvas, side) {
    const spot = spots()[chosen];
    let centre = spot && place(spot, chosen, side);
    if (dragged && dragged.side === side) centre = dragged.point;
    else if (pointer && pointer.side === side && !dragged) centre = pointer.point;
    if (!centre) return;
    const [x, y] = toScreen(canvas, side, centre);
    const left = x > canvas.clientWidth / 2 ? 6 : canvas.clientWidth - LOUPE - 6;
    const top = y > canvas.clientHeight / 2 ? 6 : canvas.clientHeight - LOUPE - 6;
    const scale = Math.max(scaleOf(canvas, side), 1) * MAGNIFIED;
    pen.save();
    pen.beginPath();
    pen.rect(left, top, LOUPE, LOUPE);
    pen.clip();
    pen.fillStyle = "#000";
    pen.fillRect(left, top, LOUPE, LOUPE);
    const middleOf = [left + LOUPE / 2, top + LOUPE / 2];
    drawPhotograph(pen, canvas, side, scale, centre, middleOf);
    haloed(pen, 1, () => {
      for (const [u, v] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        pen.moveTo(middleOf[0] + 6 * u, middleOf[1] + 6 * v);
        pen.lineTo(middleOf[0] + 16 * u, middleOf[1] + 16 * v);
      }
    }, 1.2);
    pen.restore();
    haloed(pen, 1, () => pen.rect(left, top, LOUPE, LOUPE), 1);
  }

  function drawBlend() {
    if (!blend.clientWidth) return;
    const [width, height] = model.get("blended_size");
    const pen = prepared(blend);
    if (away() || !blended.complete || !blended.naturalWidth) return;
    const scale = Math.min(blend.clientWidth / width, blend.clientHeight / height);
    pen.drawImage(blended, 0, 0, width * scale, height * scale);
    spots().forEach(({ fixed, residual, state }, index) => {
      const [x, y] = fixed.map((each) => (each + 0.5) * scale);
      const worst = index === model.get("worst");
      const colour = worst ? "#f0e442" : "#fff";
      const [u, v] = (residual || [0, 0]).map((each) => each * scale * ARROWS);
      for (const [ink, wide] of [["#000", 5], [colour, 2.2]]) {
        pen.strokeStyle = ink;
        pen.lineWidth = wide;
        pen.beginPath();
        pen.arc(x, y, 3, 0, 2 * Math.PI);
        if (state === "placed" && Math.hypot(u, v) > 1) arrow(pen, x, y, u, v);
        pen.stroke();
      }
      pen.font = `${worst ? "bold " : ""}13px sans-serif`;
      pen.lineWidth = 3;
      pen.strokeStyle = "#000";
      pen.fillStyle = colour;
      pen.strokeText(`${index + 1}${worst ? " worst" : ""}`, x + 6, y - 6);
      pen.fillText(`${index + 1}${worst ? " worst" : ""}`, x + 6, y - 6);
    });
  }

  function arrow(pen, x, y, u, v) {
    const angle = Math.atan2(v, u);
    pen.moveTo(x, y);
    pen.lineTo(x + u, y + v);
    for (const turn of [2.6, -2.6]) {
      pen.moveTo(x + u, y + v);
      pen.lineTo(x + u + 7 * Math.cos(angle + turn), y + v + 7 * Math.sin(angle + turn));
    }
  }

  function draw() {
    SIDES.forEach(drawSide);
    drawBlend();
  }

  // The pointer.
  function inCanvas(canvas, event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  function nearest(canvas, side, [x, y]) {
    let [best, distance] = [-1, NEAR];
    spots().forEach((spot, index) => {
      const [u, v] = toScreen(canvas, side, spot[side]);
      const far = Math.hypot(u - x, v - y);
      if (far < distance) [best, distance] = [index, far];
    });
    return best;
  }

  for (const side of SIDES) {
    const canvas = canvases[side];
    canvas.addEventListener("focus", () => ((active = side), draw()));
    canvas.addEventListener("pointerdown", (event) => {
      if (dragged || away()) return;
      event.preventDefault();
      canvas.focus({ preventScroll: true });
      active = side;
      canvas.setPointerCapture(event.pointerId);
      const on = inCanvas(canvas, event);
      if (event.shiftKey || event.button !== 0) dragged = { pan: on };
      else {
        const index = nearest(canvas, side, on);
        const pending = spots().length && spots()[spots().length - 1].state === "proposed";
        const proposal = pending && side === "moving" && index === spots().length - 1;
        const point = proposal || index < 0 ? toImage(canvas, side, on) : spots()[index][side];
        dragged = { index, side, point, from: on, moved: false };
        if (index >= 0) choose(index);
      }
      draw();
    });
    canvas.addEventListener("pointermove", (event) => {
      const on = inCanvas(canvas, event);
      pointer = { side, point: toImage(canvas, side, on) };
      if (dragged && dragged.pan) {
        const scale = scaleOf(canvas, side);
        view.x -= (on[0] - dragged.pan[0]) / scale;
        view.y -= (on[1] - dragged.pan[1]) / scale;
        dragged.pan = on;
      } else if (dragged && dragged.side === side) {
        dragged.moved ||= Math.hypot(on[0] - dragged.from[0], on[1] - dragged.from[1]) > 2;
        if (dragged.moved) dragged.point = pointer.point;
      }
      draw();
    });
    canvas.addEventListener("pointerup", () => {
      const done = dragged;
      dragged = null;
      if (done && done.side === side) {
        const last = spots().length - 1;
        const pending = last >= 0 && spots()[last].state === "proposed";
        const { index, point } = done;
        if (index < 0) {
          send("add", { side, point, placed_by: by.value });
          coming = pending ? last : last + 1;
        } else if (done.moved || (pending && index === last && side === "moving")) {
          send("move", { index, side, point });
        }
      }
      draw();
    });
    canvas.addEventListener("pointercancel", () => ((dragged = null), draw()));
    canvas.addEventListener("pointerleave", () => ((pointer = null), draw()));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const point = toImage(canvas, side, inCanvas(canvas, event));
      zoomBy(Math.exp(-event.deltaY / 400), side, point);
    }, { passive: false });
  }

  // The keys.
  function nudge(x, y, event) {
    const spot = spots()[chosen];
    if (!spot) return;
    const unit = model.get("steps")[SIDES.indexOf(active)] * (event.shiftKey ? 10 : 1);
    const point = [spot[active][0] + x * unit, spot[active][1] + y * unit];
    send("move", { index: chosen, side: active, point });
  }

  function pan(x, y) {
    const [width] = size("fixed");
    view.x += (x * width) / view.zoom / 8;
    view.y += (y * width) / view.zoom / 8;
    draw();
  }

  const keys = {
    ArrowLeft: (event) => nudge(-1, 0, event),
    ArrowRight: (event) => nudge(1, 0, event),
    ArrowUp: (event) => nudge(0, -1, event),
    ArrowDown: (event) => nudge(0, 1, event),
    n: () => choose(Math.min(chosen + 1, spots().length - 1)),
    p: () => choose(Math.max(chosen - 1, 0)),
    s: () => at("snap"),
    Enter: () => at("confirm"),
    u: () => at("use"),
    Delete: remove,
    Backspace: remove,
    "+": () => zoomBy(1.5),
    "=": () => zoomBy(1.5),
    "-": () => zoomBy(1 / 1.5),
    0: whole,
    c: () => contrast.click(),
    r: () => send("register"),
  };
  const withAlt = { w: () => pan(0, -1), a: () => pan(-1, 0), s: () => pan(0, 1), d: () => pan(1, 0) };
  const withControl = { z: () => send("undo"), s: () => send("save") };
  root.addEventListener("keydown", (event) => {
    const tag = event.target.tagName;
    const commanded = event.ctrlKey || event.metaKey;
    if (tag === "INPUT" || tag === "SELECT") {
      event.stopPropagation();
      return;
    }
    if (tag === "BUTTON" && (event.key === "Enter" || event.key === " ")) return;
    const table = commanded ? withControl : event.altKey ? withAlt : keys;
    const act = table[event.key];
    if (event.key !== "Tab") event.stopPropagation();
    if (!act) return;
    event.preventDefault();
    act(event);
  });

  // What Python tells.
  function tellNames() {
    visits.replaceChildren();
    model.get("names").forEach((name, index) => {
      element("option", "", visits, name).value = index;
    });
    visits.value = model.get("visit");
  }

  function load(side) {
    images[side] = model.get(side).map((bytes) => {
      const image = new Image();
      image.addEventListener("load", draw);
      urls.push(URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })));
      image.src = urls[urls.length - 1];
      return image;
    });
    const [width, height] = size(side);
    canvases[side].style.aspectRatio = `${width} / ${height}`;
    draw();
  }

  function tellSpots() {
    table.replaceChildren();
    if (coming >= 0 && coming < spots().length) [chosen, coming] = [coming, -1];
    if (chosen >= spots().length) chosen = spots().length - 1;
    if (!spots().length) element("p", "", table, "No points yet.");
    else {
      const made = element("table", "", table);
      const head = element("tr", "", element("thead", "", made));
      for (const name of ["point", "for", "by", "state", "off, px"]) {
        element("th", "", head, name).scope = "col";
      }
      const body = element("tbody", "", made);
      spots().forEach((spot, index) => {
        const row = element("tr", "", body);
        row.setAttribute("aria-current", index === chosen);
        const worst = index === model.get("worst") ? " (worst)" : "";
        const cells = [
          String(index + 1),
          spot.use === "judging" ? "judging only" : "registering",
          spot.placed_by,
          spot.state === "placed" ? "placed" : `${spot.state}, to be confirmed`,
          spot.off === null ? "" : `${spot.off.toFixed(1)}${worst}`,
        ];
        for (const cell of cells) element("td", "", row, cell);
        row.addEventListener("click", () => choose(index));
      });
    }
    draw();
  }

  function tellBlend() {
    const bytes = model.get("blended");
    const [width, height] = model.get("blended_size");
    blend.style.aspectRatio = `${width} / ${height}`;
    if (!bytes.byteLength) return;
    const url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
    blended.onload = () => (URL.revokeObjectURL(url), drawBlend());
    blended.src = url;
  }

  function tellStatus() {
    const { kind, words } = model.get("status");
    status.dataset.kind = kind;
    status.textContent = words;
  }

  function tellExcluded() {
    const given = model.get("excluded");
    why.textContent = given ? `excluded: ${given}` : "";
    leave.hidden = reason.hidden = Boolean(given);
    back.hidden = !given;
  }

  const tellTold = () => (told.textContent = model.get("told"));
  const tellSaved = () => (saved.textContent = model.get("saved"));
  const tellVisit = () => {
    visits.value = model.get("visit");
    chosen = -1;
    reason.value = "";
  };
  const listeners = {
    "change:visit": tellVisit,
    "change:names": tellNames,
    "change:fixed": () => load("fixed"),
    "change:moving": () => load("moving"),
    "change:moving_size": () => load("moving"),
    "change:spots": tellSpots,
    "change:worst": tellSpots,
    "change:matrix": draw,
    "change:told": tellTold,
    "change:blended": tellBlend,
    "change:status": tellStatus,
    "change:saved": tellSaved,
    "change:excluded": tellExcluded,
  };
  for (const [name, listener] of Object.entries(listeners)) model.on(name, listener);
  const watcher = new ResizeObserver(() => draw());
  [...Object.values(canvases), blend].forEach((canvas) => watcher.observe(canvas));
  contrast.setAttribute("aria-pressed", "false");
  tellNames();
  whole();
  SIDES.forEach(load);
  [tellSpots, tellBlend, tellStatus, tellExcluded, tellTold, tellSaved].forEach((tell) => tell());
  return () => {
    watcher.disconnect();
    urls.forEach((url) => URL.revokeObjectURL(url));
    for (const [name, listener] of Object.entries(listeners)) model.off(name, listener);
  };
}

export default { render };
