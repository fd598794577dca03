// What the panels have in common: elements of the page, and lines that are seen on any photograph.
// Python puts this text before the one of a panel (`panels.canvas.script_of`).

function element(tag, className, parent, words) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (words) made.textContent = words;
  parent.append(made);
  return made;
}

function button(parent, words, key, tip, pressed) {
  const made = element("button", "", parent, words);
  made.type = "button";
  made.title = tip;
  if (key) element("kbd", "", made, key);
  made.addEventListener("click", pressed);
  return made;
}

// A white line with a dark halo: seen on any photograph, whatever colours the eye tells apart.
function haloed(pen, thin, path, wide = 1.8, dash = []) {
  for (const [colour, more] of [["rgba(0, 0, 0, 0.75)", 2.6], ["#fff", 0]]) {
    pen.beginPath();
    path();
    pen.strokeStyle = colour;
    pen.lineWidth = (wide + more) * thin;
    pen.setLineDash(more ? [] : dash.map((length) => length * thin));
    pen.stroke();
  }
  pen.setLineDash([]);
}
