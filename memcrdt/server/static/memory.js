// A memory: its texts over time, both sides of a conflict, its links, where it is, and what can be done with it.

import { useEffect, useState } from "./vendor/hooks.js";
import { call, get, getMemory } from "./api.js";
import { Graph } from "./graph.js";
import { Confirm, Difference, Failure, Facts, Marked, Origin, Text, Time, brief, html, shown, useAction, useLoaded } from "./ui.js";

const DAY_S = 86400;

export function Memory({ id, feed }) {
  const [loaded, problem, reload] = useLoaded(async () => {
    const [found, history, links, devices, health] = await Promise.all([
      getMemory(id),
      get(`/v1/memories/${id}/history`),
      get(`/v1/memories/${id}/links`),
      get("/v1/devices"),
      get("/v1/health"),
    ]);
    return { ...found, history, links, devices: [...devices, { device: health.device, name: "this device", spaces: [] }] };
  }, [id]);
  useEffect(() => feed.listen((change) => change.id === id && change.kind !== "forgotten" && reload()), [id]);
  if (!loaded) return html`<h1>A memory</h1><${Failure} problem=${problem} />`;
  const { memory } = loaded;
  return html`
    <h1>A memory</h1>
    <article class="card whole">
      <header><${Time} at=${memory.created_at} /> <${Origin} memory=${memory} /></header>
      <${Marked} text=${memory.text} />
      <footer><${Facts} memory=${memory} /></footer>
    </article>
    ${memory.conflicted && html`<${Conflict} ...${loaded} reload=${reload} />`}
    <${Actions} ...${loaded} reload=${reload} />
    <${History} history=${loaded.history} devices=${loaded.devices} />
    <${Links} ...${loaded} reload=${reload} />
    <${Alike} memory=${memory} />
    <${Places} memory=${memory} devices=${loaded.devices} />
    <${Details} memory=${memory} />`;
}

const nameOf = (devices, id) => devices.find((each) => each.device === id)?.name ?? `${id.slice(0, 7)}…`;

function Conflict({ memory, etag, history, devices, reload }) {
  const [run, isRunning, problem] = useAction();
  const sides = history.filter((each) => each.head);
  const keep = (revision) =>
    run(async () => {
      await call("POST", `/v1/memories/${memory.id}/resolve`, { body: { keep: revision }, headers: { "If-Match": etag } });
      await reload();
    });
  return html`<section aria-label="Conflict">
    <h2>Conflict</h2>
    <p>These texts were written while their devices were apart. Keep one; the other stays in the history.</p>
    <div class="sides">
      ${sides.map(
        (side) => html`<article class="card" key=${side.revision}>
          <header><${Time} at=${side.at} /> ${side.by && `by ${shown(side.by)}`} on ${shown(nameOf(devices, side.device))}</header>
          <${Text} text=${side.text} />
          <footer><button disabled=${isRunning} onClick=${() => keep(side.revision)}>Keep this text</button></footer>
        </article>`,
      )}
    </div>
    <${Failure} problem=${problem} />
  </section>`;
}

function Actions({ memory, etag, reload }) {
  const [open, setOpen] = useState(null);
  const [run, isRunning, problem] = useAction();
  const change = (body) =>
    run(async () => {
      await call("PATCH", `/v1/memories/${memory.id}`, { body, headers: { "If-Match": etag } });
      setOpen(null);
      await reload();
    });
  const forget = () =>
    run(async () => {
      await call("DELETE", `/v1/memories/${memory.id}`);
      location.hash = `#/forget?id=${memory.id}`;
    });
  const toggle = (name) => setOpen(open === name ? null : name);
  return html`<section aria-label="Actions">
    <div class="actions">
      <button class="secondary" aria-expanded=${open === "edit"} onClick=${() => toggle("edit")}>Edit</button>
      <button class="secondary" onClick=${() => change({ pinned: !memory.pinned })}>${memory.pinned ? "Unpin" : "Pin"}</button>
      <button class="secondary" aria-expanded=${open === "expire"} onClick=${() => toggle("expire")}>Expire</button>
      <button class="secondary" aria-expanded=${open === "supersede"} onClick=${() => toggle("supersede")}>Supersede</button>
      <button class="danger" onClick=${() => setOpen("forget")}>Forget</button>
    </div>
    ${open === "edit" && html`<${Edit} memory=${memory} change=${change} isRunning=${isRunning} />`}
    ${open === "expire" && html`<${Expire} memory=${memory} change=${change} isRunning=${isRunning} />`}
    ${open === "supersede" && html`<${Supersede} memory=${memory} change=${change} isRunning=${isRunning} />`}
    ${open === "forget" &&
    html`<${Confirm} action="Forget" onNo=${() => setOpen(null)} onYes=${forget}
      question="Forget this memory on every device? Its text and its history are erased. This cannot be undone." />`}
    <${Failure} problem=${problem} />
    ${problem?.code === "stale_revision" && html`<button onClick=${reload}>Show the memory as it is now</button>`}
  </section>`;
}

const listed = (text) => [...new Set(text.split(",").map((each) => each.trim().replace(/^#/, "")).filter(Boolean))];

function Edit({ memory, change, isRunning }) {
  const save = (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    const text = given.get("text").replaceAll("\r\n", "\n");
    const body = { tags: listed(given.get("tags")), kind: given.get("kind").trim() || null };
    if (text !== memory.text) body.text = text;
    change(body);
  };
  return html`<form onSubmit=${save}>
    <label>Text <textarea name="text" rows="6" dir="auto" required defaultValue=${memory.text}></textarea></label>
    <label>Tags, with commas <input name="tags" defaultValue=${memory.tags.join(", ")} /></label>
    <label>Kind <input name="kind" defaultValue=${memory.kind ?? ""} maxlength="64" /></label>
    <button disabled=${isRunning}>Save</button>
  </form>`;
}

function Expire({ memory, change, isRunning }) {
  const save = (event) => {
    event.preventDefault();
    change({ ttl: Number(new FormData(event.target).get("days")) * DAY_S });
  };
  return html`<form onSubmit=${save}>
    <label>Hide it after days <input name="days" type="number" min="1" max="36500" value="30" required /></label>
    <button disabled=${isRunning}>Set</button>
    ${memory.expires_at && html`<button type="button" class="secondary" onClick=${() => change({ expires_at: null })}>Never expire</button>`}
  </form>`;
}

function Supersede({ memory, change, isRunning }) {
  const [words, setWords] = useState("");
  const [found] = useLoaded(async () => (words.trim() ? get("/v1/search", { q: words, limit: 8 }) : { items: [] }), [words]);
  return html`<div>
    ${memory.superseded_by &&
    html`<p>It is superseded by <a href="#/memory/${memory.superseded_by}">another memory</a>.
      <button class="secondary" onClick=${() => change({ superseded_by: null })}>It still holds</button></p>`}
    <label>Find the memory that replaces it <input type="search" value=${words} onInput=${(event) => setWords(event.target.value)} /></label>
    ${found?.items
      .filter((hit) => hit.memory.id !== memory.id)
      .map((hit) => html`<article class="card" key=${hit.memory.id}><${Text} text=${hit.memory.text} />
        <footer><button disabled=${isRunning} onClick=${() => change({ superseded_by: hit.memory.id })}>This one replaces it</button></footer></article>`)}
  </div>`;
}

function History({ history, devices }) {
  const before = (each) => history.find((other) => each.base.includes(other.revision))?.text;
  return html`<section aria-label="History">
    <h2>History</h2>
    <ol class="timeline">
      ${history.toReversed().map(
        (each) => html`<li key=${each.revision}>
          <header><${Time} at=${each.at} /> ${each.by && html`by <bdi>${shown(each.by)}</bdi>`} on <bdi>${shown(nameOf(devices, each.device))}</bdi></header>
          ${before(each) === undefined ? html`<${Text} text=${each.text} />` : html`<${Difference} before=${before(each)} after=${each.text} />`}
        </li>`,
      )}
    </ol>
  </section>`;
}

function Links({ memory, links, reload }) {
  const [run, , problem] = useAction();
  if (!links.length) return null;
  const unlink = (to) =>
    run(async () => {
      await call("DELETE", `/v1/memories/${memory.id}/links/${to}`);
      await reload();
    });
  const relations = (to) => memory.links.filter((link) => link.to === to).map((link) => link.rel).join(", ");
  return html`<section aria-label="Links">
    <h2>Links</h2>
    ${links.map(
      (other) => html`<article class="card" key=${other.id}>
        <header><strong><bdi>${shown(relations(other.id))}</bdi></strong> <a href="#/memory/${other.id}">open</a></header>
        <${Text} text=${other.text} />
        <footer><button class="plain" onClick=${() => unlink(other.id)}>remove the link</button></footer>
      </article>`,
    )}
    <${Failure} problem=${problem} />
  </section>`;
}

const ALIKE = 6;
const QUERY_CHARS = 500; // a long text is searched by its beginning

function Alike({ memory }) {
  const [found] = useLoaded(() => get("/v1/search", { q: memory.text.slice(0, QUERY_CHARS), limit: ALIKE + 1 }), [memory.id, memory.revision]);
  const others = found?.items.filter((hit) => hit.memory.id !== memory.id).slice(0, ALIKE) ?? [];
  if (!others.length && !memory.links.length) return null;
  return html`<section aria-label="Related">
    <h2>Related</h2>
    <${Graph} memory=${memory} alike=${others} />
    <ul>
      ${others.map((hit) => html`<li key=${hit.memory.id}><a href="#/memory/${hit.memory.id}"><bdi>${shown(brief(hit.memory.text))}</bdi></a> <small>${hit.score.toFixed(2)}</small></li>`)}
    </ul>
  </section>`;
}

/** Which devices have it: those that share its space and have confirmed every change, or this one. */
function Places({ memory, devices }) {
  const sharing = devices.filter((each) => each.state === "accepted" && each.spaces.includes(memory.space));
  return html`<section aria-label="Where it is">
    <h2>Where it is</h2>
    <ul>
      <li>this device</li>
      ${sharing.map((each) => html`<li key=${each.device}><bdi>${shown(each.name ?? each.device.slice(0, 7))}</bdi>: ${each.behind ? "may not have the last change yet" : "has it"}</li>`)}
      ${!sharing.length && html`<li>no other device shares the space <bdi>${shown(memory.space)}</bdi></li>`}
    </ul>
  </section>`;
}

const Details = ({ memory }) => html`<details>
  <summary>Details</summary>
  <pre tabindex="0">${shown(JSON.stringify({ ...memory, text: undefined }, null, 2))}</pre>
</details>`;
