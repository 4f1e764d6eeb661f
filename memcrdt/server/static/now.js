// Now: what is remembered, as it happens, and whether the devices have the same memories.

import { useEffect, useState } from "./vendor/hooks.js";
import { get, getMemory } from "./api.js";
import { Card, Chip, Failure, Time, Verdict, html, memories, useLoaded } from "./ui.js";

const MOST = 200; // entries of the feed
const HOURS = 24; // of the activity
const TOGETHER_MS = 150; // changes that are shown at once
const BURST = 30; // more changes than these, as of an import, are read as a list

export function Now({ feed, isLive }) {
  const [entries, setEntries] = useState([]);
  const [first, problem, reloadFirst] = useLoaded(() => get("/v1/memories", { limit: 50, order: "updated" }), []);
  const [sync, , reloadSync] = useLoaded(() => get("/v1/sync"), []);
  const [activity, , reloadActivity] = useLoaded(() => get("/v1/activity", { hours: HOURS }), []);

  useEffect(() => {
    if (first) setEntries(first.items.map((memory) => ({ id: memory.id, memory })));
  }, [first]);
  useEffect(() => {
    const waiting = new Map(); // the newest change of each memory
    let timer = null;
    const show = async () => {
      timer = null;
      const changes = [...waiting.values()];
      waiting.clear();
      reloadSync();
      reloadActivity();
      if (changes.length > BURST || changes.some((each) => each.kind === "missed")) return reloadFirst();
      const news = await Promise.all(changes.map(entryOf));
      setEntries((old) => merged(news.filter((each) => each.memory !== null).reverse(), old));
    };
    const stop = feed.listen((change) => {
      waiting.delete(change.id);
      waiting.set(change.id, change);
      timer ??= setTimeout(show, TOGETHER_MS);
    });
    return () => (stop(), clearTimeout(timer));
  }, []);
  useEffect(() => {
    const timer = setInterval(() => (reloadSync(), reloadActivity()), 15000);
    return () => clearInterval(timer);
  }, []);

  return html`
    <h1>Now</h1>
    ${sync && html`<${Verdict} state=${sync.state} text=${sync.text} />`}
    ${activity && html`<${Activity} counts=${activity} />`}
    <p class="live ${isLive ? "on" : ""}" role="status">${isLive ? "Live: new memories appear here." : "Not connected; trying again."}</p>
    <${Failure} problem=${problem} />
    ${first && !entries.length && html`<p>Nothing is remembered yet. <code>memcrdt add "a first memory"</code> adds something.</p>`}
    <section aria-label="Feed">
      ${entries.map((entry) =>
        entry.memory
          ? html`<${Card} key=${entry.id} memory=${entry.memory} note=${entry.kind && html`<${Chip} kind="news">${entry.kind}<//>`} />`
          : html`<article key=${entry.id} class="card gone"><${Time} at=${entry.at} /> a memory was forgotten (<code>${entry.id}</code>)</article>`,
      )}
    </section>`;
}

/** A change with its memory: null for one that is gone again, undefined for one that was forgotten. */
async function entryOf({ id, kind, at }) {
  if (kind === "forgotten") return { id, kind, at };
  return { id, kind, at, memory: await getMemory(id).then((found) => found.memory, () => null) };
}

function merged(news, older) {
  const known = new Set(news.map((entry) => entry.id));
  return [...news, ...older.filter((entry) => !known.has(entry.id))].slice(0, MOST);
}

/** How many memories changed last in each hour of the last day. */
function Activity({ counts }) {
  const most = Math.max(...counts);
  if (!most) return null;
  const said = `${memories(counts.reduce((sum, each) => sum + each))} added or changed`;
  return html`<figure class="activity">
    <svg viewBox="0 0 ${HOURS * 10} 40" role="img" aria-label=${said} preserveAspectRatio="none">
      ${counts.map((count, hour) => html`<rect x=${hour * 10} width="8" y=${40 - (38 * count) / most} height=${(38 * count) / most} />`)}
    </svg>
    <figcaption><span>24 hours ago</span><span>${said}</span><span>now</span></figcaption>
  </figure>`;
}
