// A list of any length: its pages load before they are reached, and only what is near the window is drawn.

import { useEffect, useLayoutEffect, useRef, useState } from "./vendor/hooks.js";
import { get } from "./api.js";
import { Failure, html, memories } from "./ui.js";

const PAGE = 200;
const PART = 10; // memories that are drawn at once, within a frame
const GUESS = 1300; // pixels of a part, before any was drawn
const NEAR = 1000; // pixels around what is seen that are drawn
const AHEAD = 15000; // pixels below what is seen that are loaded

const partsOf = (items) => Array.from({ length: Math.ceil(items.length / PART) }, (_, at) => items.slice(PART * at, PART * (at + 1)));
const sum = (numbers) => numbers.reduce((all, each) => all + each, 0);

/** A list of memories. Only what is near is in the page; two empty boxes are as high as the parts before and after it. */
export function Pages({ filters, draw, empty }) {
  const [{ parts, cursor, problem }, setLoaded] = useState({ parts: [], cursor: undefined, problem: null });
  const [[from, to], setDrawn] = useState([0, 0]);
  const list = useRef({ heights: [], stop: null }).current; // a part that was never drawn has a guessed height
  const box = useRef();
  const more = async () => {
    if (cursor === null || list.stop) return;
    list.stop = new AbortController();
    try {
      const page = await get("/v1/memories", { limit: PAGE, cursor, ...filters }, { signal: list.stop.signal });
      const added = partsOf(page.items);
      const guess = parts.length ? sum(list.heights) / parts.length : GUESS;
      list.heights.push(...added.map(() => guess));
      setLoaded({ parts: [...parts, ...added], cursor: page.next, problem: null });
    } catch (problem) {
      if (problem.name !== "AbortError") setLoaded({ parts, cursor: null, problem });
    }
    list.stop = null;
  };
  const look = () => {
    const drawn = [...box.current.children].slice(1, -1);
    drawn.forEach((part, at) => void (list.heights[from + at] = part.offsetHeight));
    const top = -box.current.getBoundingClientRect().top;
    const bottom = top + innerHeight;
    const [first, last] = partsWithin(list.heights, top - NEAR, bottom + NEAR);
    if (first !== from || last !== to) setDrawn([first, last]);
    if (box.current.offsetHeight - bottom < AHEAD) more();
  };
  const newest = useRef();
  newest.current = look;
  useLayoutEffect(look);
  useEffect(() => {
    const again = () => newest.current();
    for (const kind of ["scroll", "resize"]) addEventListener(kind, again, { passive: true });
    return () => (list.stop?.abort(), ["scroll", "resize"].forEach((kind) => removeEventListener(kind, again)));
  }, []);
  return html`<${Failure} problem=${problem} />
    <div ref=${box}>
      <div style=${{ height: `${sum(list.heights.slice(0, from))}px` }}></div>
      ${parts.slice(from, to).map((items, at) => html`<${Part} key=${from + at} items=${items} before=${parts[from + at - 1]?.at(-1)} draw=${draw} />`)}
      <div style=${{ height: `${sum(list.heights.slice(to))}px` }}></div>
    </div>
    <p class="end"><small>${cursor === null && !parts.length ? !problem && empty : `${memories(sum(parts.map((each) => each.length)))}${cursor === null ? "" : " so far"}`}</small></p>`;
}

const Part = ({ items, before, draw }) => html`<div class="part">${items.map((memory, at) => draw(memory, at ? items[at - 1] : before))}</div>`;

/** The first of the parts between two distances from the top of the list, and the one after the last. */
function partsWithin(heights, top, bottom) {
  let [at, y] = [0, 0];
  while (at < heights.length && y + heights[at] < top) y += heights[at++];
  const first = at;
  while (at < heights.length && y < bottom) y += heights[at++];
  return [first, at];
}
