// All registered visits of one eye, one after the other or two under a divider.
(() => {
  const viewer = document.getElementById("viewer");
  const frames = JSON.parse(document.getElementById("frames").textContent);
  const find = (selector) => viewer.querySelector(selector);
  const [stage, line] = [find(".stage"), find(".line")];
  const [firstPane, secondPane] = viewer.querySelectorAll(".pane");
  const [firstDate, secondDate] = viewer.querySelectorAll(".date");
  const [visit, divided] = [find("[name=visit]"), find("[name=divided]")];
  const [second, divider] = [find("[name=second]"), find("[name=divider]")];
  const playing = { timer: null, wanted: 0 };
  const view = { zoom: 1, x: 0, y: 0 };
  const loaded = new Map();

  // Pictures stay in memory, so that playing does not blink.
  const load = (place) => {
    if (!loaded.has(place)) {
      const image = new Image();
      image.src = address(place);
      loaded.set(place, image);
    }
    return loaded.get(place);
  };
  const address = (place) => frames[place].path.split("/").map(encodeURIComponent).join("/");
  const words = (place) => {
    const { date, verdict } = frames[place];
    return verdict === "accepted" ? date : `${date} (${verdict})`;
  };

  function show() {
    const place = Number(visit.value);
    put(firstPane, firstDate, place);
    visit.setAttribute("aria-valuetext", words(place));
    const two = divided.checked;
    for (const part of [secondPane, line, secondDate]) part.hidden = !two;
    second.disabled = divider.disabled = !two;
    if (two) put(secondPane, secondDate, Number(second.value));
    secondPane.style.clipPath = `inset(0 0 0 ${divider.value}%)`;
    line.style.left = `${divider.value}%`;
    load((place + 1) % frames.length);
  }

  function put(pane, label, place) {
    const image = pane.firstElementChild;
    if (image.dataset.place !== String(place)) {
      image.dataset.place = place;
      image.src = load(place).src;
      image.alt = `Registered photograph of the visit ${words(place)}`;
    }
    label.textContent = words(place);
  }

  function move(step) {
    visit.value = (Number(visit.value) + step + frames.length) % frames.length;
    show();
  }

  function play() {
    if (playing.timer) clearInterval(playing.timer);
    playing.timer = playing.timer ? null : setInterval(() => move(1), 700);
    find("[data-do=play]").textContent = playing.timer ? "Stop" : "Play";
  }

  function zoom(factor) {
    const before = view.zoom;
    view.zoom = factor ? Math.min(Math.max(view.zoom * factor, 1), 16) : 1;
    view.x *= view.zoom / before;
    view.y *= view.zoom / before;
    shift(0, 0);
  }

  function shift(x, y) {
    const room = (view.zoom - 1) / 2;
    const within = (value, side) => Math.min(Math.max(value, -room * side), room * side);
    view.x = within(view.x + x, stage.clientWidth);
    view.y = within(view.y + y, stage.clientHeight);
    const words = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
    for (const pane of [firstPane, secondPane]) pane.firstElementChild.style.transform = words;
  }

  const actions = {
    back: () => move(-1),
    next: () => move(1),
    play,
    larger: () => zoom(1.25),
    smaller: () => zoom(0.8),
    whole: () => zoom(0),
  };
  const keys = {
    ArrowLeft: "back", ArrowRight: "next", " ": "play",
    "+": "larger", "=": "larger", "-": "smaller", 0: "whole",
  };

  viewer.addEventListener("click", (event) => actions[event.target.dataset?.do]?.());
  for (const input of [visit, divided, second, divider]) input.addEventListener("input", show);
  document.addEventListener("keydown", (event) => {
    const here = [stage, document.body].includes(document.activeElement);
    // The space bar moves a page down unless the viewer has the focus.
    const plays = event.key !== " " || document.activeElement === stage;
    if (!here || !plays || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    actions[keys[event.key]]();
  });
  stage.addEventListener("wheel", (event) => {
    if (document.activeElement !== stage && !event.ctrlKey) return; // the page scrolls
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.25 : 0.8);
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    stage.focus();
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (event.buttons) shift(event.movementX, event.movementY);
  });
  addEventListener("resize", () => shift(0, 0));
  show();
})();
