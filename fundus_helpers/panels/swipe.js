// Two pictures: side by side, under one divider (swipe), or in turn (flicker).
// The divider and the speed are native range inputs. The mouse and the arrow keys move them.

function element(tag, className, parent) {
  const made = document.createElement(tag);
  made.className = className;
  parent.append(made);
  return made;
}

function range(parent, label, least, most, step) {
  const input = element("input", "", parent);
  Object.assign(input, { type: "range", min: least, max: most, step });
  input.setAttribute("aria-label", label);
  return input;
}

function picture(stage) {
  const pane = element("div", "fundus-pane", stage);
  return { pane, label: element("span", "fundus-label", pane), image: element("img", "", pane) };
}

// The sliders of ipywidgets have no names for screen readers: they get the words beside them.
function nameSliders(el) {
  const panel = el.closest(".fundus-panel");
  for (const handle of panel ? panel.querySelectorAll(".noUi-handle:not([aria-label])") : []) {
    const label = handle.closest(".widget-inline-hbox")?.querySelector(".widget-label");
    if (label?.textContent) handle.setAttribute("aria-label", label.textContent);
  }
}

function render({ model, el }) {
  const figure = element("figure", "fundus-comparison", el);
  const stage = element("div", "fundus-stage", figure);
  const pictures = [picture(stage), picture(stage)];
  const line = element("div", "fundus-line", stage);
  const divider = range(stage, "divider between the two pictures", 0, 100, 1);
  divider.className = "fundus-divider";
  const controls = element("div", "fundus-flicker", figure);
  const pause = element("button", "fundus-pause", controls);
  const speedLabel = element("label", "", controls);
  speedLabel.append("each picture stays ");
  const speed = range(speedLabel, "milliseconds that each picture stays", 200, 2000, 100);
  const speedText = element("span", "", speedLabel);
  const caption = element("figcaption", "", figure);
  let timer = null;
  let second = false;

  function load(index) {
    const name = ["first", "second"][index];
    const { image } = pictures[index];
    const old = image.src;
    const data = model.get(name);
    if (data.byteLength) {
      image.src = URL.createObjectURL(new Blob([data], { type: "image/jpeg" }));
    } else {
      image.removeAttribute("src");
    }
    if (old) URL.revokeObjectURL(old);
  }

  function tell() {
    caption.textContent = model.get("caption");
    pictures.forEach(({ image, label }, index) => {
      label.textContent = model.get("labels")[index] || "";
      image.alt = label.textContent;
    });
  }

  function divide() {
    const at = model.get("position");
    const swiped = model.get("mode") === "swipe";
    divider.value = at;
    line.style.left = `${at}%`;
    pictures[1].pane.style.clipPath = swiped ? `inset(0 0 0 ${at}%)` : "";
  }

  function turn() {
    second = !second;
    pictures[1].pane.style.visibility = second ? "visible" : "hidden";
  }

  function arrange() {
    const mode = model.get("mode");
    const flickers = mode === "flicker";
    clearInterval(timer);
    stage.dataset.mode = mode;
    controls.style.display = flickers ? "" : "none";
    if (!flickers) pictures[1].pane.style.visibility = "";
    if (flickers && model.get("playing")) timer = setInterval(turn, model.get("milliseconds"));
    pause.textContent = model.get("playing") ? "Pause" : "Go on";
    speed.value = model.get("milliseconds");
    speedText.textContent = ` ${model.get("milliseconds")} ms`;
    divide();
  }

  function set(name, value) {
    model.set(name, value);
    model.save_changes();
  }

  divider.addEventListener("input", () => set("position", Number(divider.value)));
  speed.addEventListener("input", () => set("milliseconds", Number(speed.value)));
  pause.addEventListener("click", () => set("playing", !model.get("playing")));
  model.on("change:first", () => load(0));
  model.on("change:second", () => load(1));
  model.on("change:caption change:labels", tell);
  model.on("change:position", divide);
  model.on("change:mode change:playing change:milliseconds", arrange);
  load(0);
  load(1);
  tell();
  arrange();
  const unnamed = new MutationObserver(() => nameSliders(el));
  requestAnimationFrame(() => {
    nameSliders(el);
    unnamed.observe(el.closest(".fundus-panel") || el, { childList: true, subtree: true });
  });
  return () => {
    clearInterval(timer);
    unnamed.disconnect();
  };
}

export default { render };
