// What all screens share. Every text of a memory goes through `shown` into a text node: it is data, never markup.

import { h } from "./vendor/preact.js";
import { useCallback, useEffect, useRef, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);

const LONG = 600; // characters of a text in a list
const ODD = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** Make characters visible that are not seen, or that turn the text after them around. The length stays. */
export const shown = (text) => String(text).replace(ODD, "\ufffd");

const UNITS = [[31536000, "year"], [2592000, "month"], [86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export function ago(time) {
  const seconds = (Date.parse(time) - Date.now()) / 1000;
  const [size, unit] = UNITS.find(([each]) => Math.abs(seconds) >= each) ?? [1, "second"];
  return relative.format(Math.round(seconds / size), unit);
}

/** The beginning of a text, in one line. */
export const brief = (text, most = 80) => {
  const line = Array.from(text.slice(0, 4 * most).replace(/\s+/g, " "));
  return line.length > most ? `${line.slice(0, most).join("")}…` : line.join("");
};

export const Time = ({ at }) => html`<time datetime=${at} title=${new Date(at).toLocaleString()}>${ago(at)}</time>`;

export const bytes = (count) =>
  count < 1024 ? `${count} bytes`
    : count < 1048576 ? `${(count / 1024).toFixed(1)} KiB`
    : count < 1073741824 ? `${(count / 1048576).toFixed(1)} MiB`
    : `${(count / 1073741824).toFixed(1)} GiB`;

export const memories = (count) => (count === 1 ? "1 memory" : `${count.toLocaleString("en")} memories`);

/** A sentence of the server. What stands between backticks is a command. */
export const Words = ({ text }) =>
  shown(text).split("`").map((part, at) => (at % 2 ? html`<code>${part}</code>` : part));

/** The sentence that says whether the devices have the same memories. */
export const Verdict = ({ state, text }) =>
  html`<p class="verdict ${state}" role="status"><strong><${Words} text=${text.split("\n")[0]} /></strong></p>`;

export const Chip = ({ label, kind = "", title, children }) =>
  html`<span class="chip ${kind}" title=${title}>${label && html`<i>${label}</i> `}<bdi>${children}</bdi></span>`;

/** A text with the words marked that a search found. Marks count code points. */
export function Marked({ text, marks = [] }) {
  const points = Array.from(shown(text));
  const parts = [];
  let at = 0;
  for (const [start, end] of marks) {
    if (start < at) continue;
    parts.push(points.slice(at, start).join(""), html`<mark>${points.slice(start, end).join("")}</mark>`);
    at = end;
  }
  parts.push(points.slice(at).join(""));
  return html`<bdi class="text" dir="auto">${parts}</bdi>`;
}

export function Text({ text, marks = [] }) {
  const [whole, setWhole] = useState(false);
  const isLong = text.length > LONG;
  const part = isLong && !whole ? Array.from(text.slice(0, LONG)).join("") : text;
  return html`<${Marked} text=${part} marks=${marks} />
    ${isLong &&
    html`<button class="plain" onClick=${() => setWhole(!whole)}>
      ${whole ? "show less" : `show all ${text.length.toLocaleString("en")} characters`}
    </button>`}`;
}

export const Origin = ({ memory }) => html`
  ${memory.author && html`<${Chip} label="by">${shown(memory.author)}<//>`}
  <${Chip} label="on">${shown(memory.device_name)}<//>
  ${memory.untrusted && html`<${Chip} kind="warn" title="From another user's device or an untrusted source: data, never instructions">untrusted<//>`}
  ${memory.trust && html`<${Chip} label="trust">${shown(memory.trust)}<//>`}`;

export const Facts = ({ memory }) => html`
  <${Chip} label="scope">${shown(memory.scope)}<//>
  ${memory.space !== "personal" && html`<${Chip} label="space">${shown(memory.space)}<//>`}
  ${memory.kind && html`<${Chip} label="kind">${shown(memory.kind)}<//>`}
  ${memory.tags.map((tag) => html`<${Chip} kind="tag">#${shown(tag)}<//>`)}
  ${memory.pinned && html`<${Chip}>pinned<//>`}
  ${memory.conflicted && html`<${Chip} kind="warn">conflict<//>`}
  ${memory.superseded_by && html`<${Chip} kind="warn">superseded<//>`}
  ${memory.expires_at && html`<${Chip} label="expires">${ago(memory.expires_at)}<//>`}`;

/** A memory in a list. `note` is what the list says about it. */
export const Card = ({ memory, marks, passage, note, children }) => html`
  <article class="card" data-id=${memory.id}>
    <header>
      <a href="#/memory/${memory.id}">
        <${Time} at=${memory.updated_at} /></a>
      ${note} <${Origin} memory=${memory} />
    </header>
    <${Text} text=${passage ?? memory.text} marks=${marks} />
    <footer><${Facts} memory=${memory} /></footer>
    ${children}
  </article>`;

export const Failure = ({ problem }) =>
  problem && html`<p role="alert" class="failure"><strong><${Words} text=${problem.message} /></strong> <${Words} text=${problem.remedy ?? ""} /></p>`;

/** Load something, and again when `inputs` change. Returns [value, problem, reload]. */
export function useLoaded(load, inputs) {
  const [state, setState] = useState([null, null]);
  const turn = useRef(0);
  const reload = useCallback(() => {
    const mine = ++turn.current;
    const isNewest = () => mine === turn.current;
    return load().then(
      (value) => isNewest() && setState([value, null]),
      (problem) => isNewest() && setState(([value]) => [value, problem]),
    );
  }, inputs);
  useEffect(() => {
    reload();
    return () => void ++turn.current;
  }, [reload]);
  return [...state, reload];
}

/** Run something that the user asked for. Returns [run, isRunning, problem]. */
export function useAction() {
  const [state, setState] = useState([false, null]);
  const run = async (call) => {
    setState([true, null]);
    try {
      await call();
      setState([false, null]);
      return true;
    } catch (problem) {
      setState([false, problem]);
      return false;
    }
  };
  return [run, ...state];
}

/** Ask before something that cannot be undone. */
export function Confirm({ question, action, onYes, onNo }) {
  const box = useRef();
  useEffect(() => {
    box.current.showModal();
  }, []);
  return html`<dialog ref=${box} onClose=${onNo} aria-label=${action}>
    <article>
      <p><${Words} text=${question} /></p>
      <footer>
        <button class="secondary" autofocus onClick=${onNo}>Cancel</button>
        <button class="danger" onClick=${onYes}>${action}</button>
      </footer>
    </article>
  </dialog>`;
}

/** The difference of two texts by words: pairs of "=", "-" or "+" and a text. Long texts differ as a whole. */
export function difference(before, after) {
  const [a, b] = [before, after].map((text) => text.split(/(\s+)/).filter(Boolean));
  if (a.length * b.length > 1e6) return before === after ? [["=", before]] : [["-", before], ["+", after]];
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      table[i][j] = a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
  const parts = [];
  const push = (kind, word) => {
    if (parts.at(-1)?.[0] === kind) parts.at(-1)[1] += word;
    else parts.push([kind, word]);
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) push("=", (j++, a[i++]));
    else if (j >= b.length || (i < a.length && table[i + 1][j] >= table[i][j + 1])) push("-", a[i++]);
    else push("+", b[j++]);
  }
  return parts;
}

export const Difference = ({ before, after }) => html`<bdi class="text" dir="auto">
  ${difference(before, after).map(([kind, text]) =>
    kind === "=" ? shown(text) : kind === "-" ? html`<del>${shown(text)}</del>` : html`<ins>${shown(text)}</ins>`,
  )}</bdi>`;
