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
  const { parts, cursor, problem, more } = useParts(filters);
  const [[from, to], setDrawn] = useState([0, 0]);
  const heights = useRef([]).current; // in pixels; of a part that was never drawn a guess
  const box = useRef();
  while (heights.length < parts.length) heights.push(heights.length ? sum(heights) / heights.length : GUESS);
  const look = () => {
    const drawn = [...box.current.children].slice(1, -1);
    drawn.forEach((part, at) => void (heights[from + at] = part.offsetHeight));
    const top = -box.current.getBoundingClientRect().top;
    const bottom = top + innerHeight;
    const [first, last] = partsWithin(heights, top - NEAR, bottom + NEAR);
    if (first !== from || last !== to) setDrawn([first, last]);
    if (box.current.offsetHeight - bottom < AHEAD) more();
  };
  useLayoutEffect(look);
  useScrolling(look);
  return html`<div ref=${box}>
      <div style=${{ height: `${sum(heights.slice(0, from))}px` }}></div>
      ${parts.slice(from, to).map((items, at) => html`<${Part} key=${from + at} items=${items} before=${parts[from + at - 1]?.at(-1)} draw=${draw} />`)}
      <div style=${{ height: `${sum(heights.slice(to))}px` }}></div>
    </div>
    <${Failure} problem=${problem} />
    ${problem && html`<button class="secondary" onClick=${() => more(true)}>Try again</button>`}
    ${cursor !== undefined && !problem && html`<p class="end"><small>${said(parts, cursor, empty)}</small></p>`}`;
}

/** The memories that are loaded, in parts, and what loads the next page. */
function useParts(filters) {
  const [{ parts, cursor, problem }, setState] = useState({ parts: [], cursor: undefined, problem: null });
  const stop = useRef(null);
  useEffect(() => () => stop.current?.abort(), []);
  const more = async (again = false) => {
    if (cursor === null || stop.current || (problem && !again)) return;
    stop.current = new AbortController();
    try {
      const page = await get("/v1/memories", { limit: PAGE, cursor, ...filters }, { signal: stop.current.signal });
      setState({ parts: [...parts, ...partsOf(page.items)], cursor: page.next, problem: null });
    } catch (problem) {
      if (problem.name !== "AbortError") setState({ parts, cursor, problem });
    }
    stop.current = null; // before what is set is drawn, which may ask for more
  };
  return { parts, cursor, problem, more };
}

/** Call something whenever another part of the page is seen. */
function useScrolling(call) {
  const newest = useRef();
  newest.current = call;
  useEffect(() => {
    const stop = new AbortController();
    for (const kind of ["scroll", "resize"]) addEventListener(kind, () => newest.current(), { passive: true, signal: stop.signal });
    return () => stop.abort();
  }, []);
}

function said(parts, cursor, empty) {
  const count = memories(sum(parts.map((each) => each.length)));
  return cursor !== null ? `${count} so far` : parts.length ? count : empty;
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
