// The neighbourhood of a memory: what it links to, what is linked from there, and what is alike.

import { get } from "./api.js";
import { brief, html, memories, shown, useLoaded } from "./ui.js";

const WIDTH = 640;
const HEIGHT = 360;
const RINGS = [0, 110, 165]; // pixels from the middle, by the number of steps
const MOST = 24;

export function Graph({ memory, alike }) {
  const [graph] = useLoaded(() => neighbours(memory, alike), [memory, alike.map((hit) => hit.memory.id).join()]);
  if (!graph || graph.nodes.length < 2) return null;
  const places = placed(graph.nodes);
  const said = `${memories(graph.nodes.length - 1)} around this one`;
  const [top, bottom] = [Math.min, Math.max].map((most) => most(...[...places.values()].map(({ y }) => y)));
  return html`<div class="wide"><svg class="graph" viewBox="0 ${top - 20} ${WIDTH} ${bottom - top + 50}" role="group" aria-label=${said}>
    ${graph.edges.map(({ from, to, rel }) => {
      const [a, b] = [places.get(from), places.get(to)];
      return html`<line x1=${a.x} y1=${a.y} x2=${b.x} y2=${b.y} class=${rel ? "link" : "alike"} />
        ${rel && html`<text x=${(a.x + b.x) / 2} y=${(a.y + b.y) / 2 - 3}>${shown(brief(rel, 20))}</text>`}`;
    })}
    ${graph.nodes.map(({ memory: each, step }) => {
      const at = places.get(each.id);
      return html`<a class="node" href="#/memory/${each.id}" aria-current=${step ? undefined : "true"}>
        <circle cx=${at.x} cy=${at.y} r=${step ? 6 : 10} />
        <text x=${at.x} y=${at.y + 22}>${shown(brief(each.text, 22))}</text>
      </a>`;
    })}
  </svg></div>`;
}

/** Follow links for two steps, and add what is alike. */
async function neighbours(memory, alike) {
  const nodes = new Map([[memory.id, { memory, step: 0 }]]);
  const edges = [];
  const add = (other, step) => {
    if (!nodes.has(other.id) && nodes.size < MOST) nodes.set(other.id, { memory: other, step });
  };
  for (let step = 1; step < RINGS.length; step++) {
    const sources = [...nodes.values()].filter((node) => node.step === step - 1 && node.memory.links.length);
    const found = await Promise.all(sources.map((node) => get(`/v1/memories/${node.memory.id}/links`)));
    found.flat().forEach((other) => add(other, step));
  }
  alike.forEach((hit) => add(hit.memory, 1));
  for (const { memory: each } of nodes.values())
    for (const { rel, to } of each.links) if (nodes.has(to)) edges.push({ from: each.id, to, rel });
  for (const hit of alike) if (nodes.has(hit.memory.id)) edges.push({ from: memory.id, to: hit.memory.id });
  return { nodes: [...nodes.values()], edges };
}

/** Put the nodes of each step on a ring, which is wider than high as a page is. */
function placed(nodes) {
  const places = new Map();
  RINGS.forEach((radius, step) => {
    const ring = nodes.filter((node) => node.step === step);
    ring.forEach((node, at) => {
      const angle = (2 * Math.PI * (at + step / 2)) / ring.length;
      places.set(node.memory.id, { x: WIDTH / 2 + 1.6 * radius * Math.cos(angle), y: HEIGHT / 2 - 8 + radius * 0.92 * Math.sin(angle) });
    });
  });
  return places;
}
