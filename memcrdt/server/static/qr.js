// A QR code, drawn as one path.

import { generate } from "./vendor/lean-qr.js";
import { html } from "./ui.js";

const MARGIN = 4; // modules around the code, as readers need

export function Code({ text }) {
  const code = generate(text);
  const size = code.size + 2 * MARGIN;
  const dark = [];
  for (let y = 0; y < code.size; y++)
    for (let x = 0; x < code.size; x++) if (code.get(x, y)) dark.push(`M${x + MARGIN} ${y + MARGIN}h1v1h-1z`);
  return html`<svg class="qr" viewBox="0 0 ${size} ${size}" role="img" aria-label="The command as a QR code" shape-rendering="crispEdges">
    <rect width=${size} height=${size} /><path d=${dark.join("")} />
  </svg>`;
}
