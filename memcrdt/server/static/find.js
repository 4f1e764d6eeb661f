// Find: search as you type, with filters, and why each memory was found. The address has the question: it can be kept.

import { useEffect, useRef, useState } from "./vendor/hooks.js";
import { address, get } from "./api.js";
import { Pages } from "./pages.js";
import { Card, Failure, html, memories, shown, useLoaded } from "./ui.js";

const WAIT_MS = 150; // after a key
const FILTERS = ["scope", "space", "kind", "tags", "author", "after", "before"];
const LABELS = { scope: "Scope", space: "Space", tags: "Tag" };
const PARTS = { lexical: "words", semantic: "meaning" };

export function Find({ query }) {
  const [words, setWords] = useState(query.q ?? "");
  const filters = Object.fromEntries(FILTERS.flatMap((name) => (query[name] ? [[name, query[name]]] : [])));
  const sent = useRef(words);
  const go = (changes) => location.replace(address("#/find", { q: words, ...filters, ...changes }));
  useEffect(() => {
    const timer = setTimeout(() => {
      if (words === sent.current) return;
      sent.current = words;
      go({ q: words });
    }, WAIT_MS);
    return () => clearTimeout(timer);
  }, [words]);
  useEffect(() => {
    if ((query.q ?? "") === sent.current) return; // it was typed here
    sent.current = query.q ?? "";
    setWords(sent.current);
  }, [query.q]);
  const [scopes] = useLoaded(() => get("/v1/scopes", { limit: 200 }), []);
  const [spaces] = useLoaded(() => get("/v1/spaces"), []);
  const [tags] = useLoaded(() => get("/v1/tags"), []);
  return html`
    <h1>Find</h1>
    <search><form onSubmit=${(event) => event.preventDefault()}>
      <input type="search" aria-label="Question or words" placeholder="When do we deploy?" value=${words} autofocus
        maxlength="4000" onInput=${(event) => setWords(event.target.value)} />
      <div class="filters">
        <${Choice} name="scope" values=${scopes ?? []} filters=${filters} go=${go} />
        <${Choice} name="space" values=${(spaces ?? []).map((each) => each.name)} filters=${filters} go=${go} />
        <${Choice} name="tags" values=${Object.keys(tags ?? {})} filters=${filters} go=${go} />
        <label>After <input type="date" value=${filters.after} onChange=${(event) => go({ after: event.target.value })} /></label>
        <label>Before <input type="date" value=${filters.before} onChange=${(event) => go({ before: event.target.value })} /></label>
      </div>
    </form></search>
    ${Object.keys(filters).length > 0 && html`<p class="chips">
      ${Object.entries(filters).map(
        ([name, value]) => html`<button class="chip" aria-label="Remove the filter ${name}" onClick=${() => go({ [name]: null })}>
          <i>${name}</i> <bdi>${shown(value)}</bdi> ×</button>`,
      )}
    </p>`}
    <${Views} words=${words} filters=${filters} />
    ${query.q ? html`<${Results} q=${query.q} filters=${filters} />` : html`<${All} key=${JSON.stringify(filters)} filters=${filters} />`}`;
}

const VIEWS = "memcrdt.views";

/** Questions with their filters that the user kept in this browser. */
function Views({ words, filters }) {
  const [views, setViews] = useState(() => JSON.parse(localStorage.getItem(VIEWS) ?? "[]"));
  const keep = (changed) => {
    localStorage.setItem(VIEWS, JSON.stringify(changed));
    setViews(changed);
  };
  const now = address("#/find", { q: words, ...filters });
  const name = [words, ...Object.values(filters)].filter(Boolean).join(" · ");
  const isKept = views.some((view) => view.now === now);
  if (!views.length && !name) return null;
  return html`<p class="chips">
    ${views.length > 0 && html`<small>Views:</small>`}
    ${views.map(
      (view) => html`<span class="chip" key=${view.now}><a href=${view.now}><bdi>${shown(view.name)}</bdi></a>
        <button class="plain" aria-label="Remove the view ${view.name}" onClick=${() => keep(views.filter((each) => each.now !== view.now))}>×</button></span>`,
    )}
    ${name && !isKept && html`<button class="plain" onClick=${() => keep([...views, { name, now }])}>Save this view</button>`}
  </p>`;
}

const Choice = ({ name, values, filters, go }) =>
  values.length > 0 &&
  html`<label>${LABELS[name]}
    <select value=${filters[name] ?? ""} onChange=${(event) => go({ [name]: event.target.value })}>
      <option value="">any</option>
      ${values.map((value) => html`<option value=${value}>${shown(value)}</option>`)}
    </select></label>`;

function Results({ q, filters }) {
  const [found, problem] = useLoaded(
    () => get("/v1/search", { q, limit: 50, explain: true, ...filters }),
    [q, JSON.stringify(filters)],
  );
  return html`
    <${Failure} problem=${problem} />
    ${found && html`<p role="status"><small>${memories(found.items.length)}</small></p>`}
    <section aria-label="Results">
      ${found?.items.map(
        (hit) => html`<${Card} key=${hit.memory.id} memory=${hit.memory} marks=${hit.marks} passage=${hit.passage}>
          <${Why} hit=${hit} /><//>`,
      )}
    </section>`;
}

const Why = ({ hit }) => html`<details class="why">
  <summary>Why: score ${hit.score.toFixed(2)}</summary>
  <dl>
    ${Object.entries(hit.parts).filter(([, value]) => value !== 0).map(
      ([name, value]) => html`<dt>${PARTS[name] ?? name.replaceAll("_", " ")}</dt><dd><meter min="0" max=${Math.max(1, ...Object.values(hit.parts))} value=${value} aria-label=${name}></meter> ${value.toFixed(3)}</dd>`,
    )}
  </dl>
</details>`;

const drawn = (memory) => html`<${Card} key=${memory.id} memory=${memory} />`;

const All = ({ filters }) => html`<section aria-label="Memories">
  <${Pages} filters=${filters} draw=${drawn} empty="There is nothing with these filters." />
</section>`;
