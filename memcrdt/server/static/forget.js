// Forget: what would be forgotten, then which devices have done so.

import { useEffect, useState } from "./vendor/hooks.js";
import { call, get } from "./api.js";
import { Card, Confirm, Failure, html, memories, shown, useAction, useLoaded } from "./ui.js";

const REFRESH_MS = 2000;
const PREVIEW = 50;

export function Forget({ query }) {
  const ids = [query.id ?? []].flat();
  return html`<h1>Forget</h1>
    ${ids.length ? html`<${Receipts} key=${ids.join()} ids=${ids} />` : html`<${Choose} />`}`;
}

function Choose() {
  const [filters, setFilters] = useState(null);
  const [asks, setAsks] = useState(null);
  const [run, isRunning, problem] = useAction();
  const [page, failed] = useLoaded(async () => filters && get("/v1/memories", { ...filters, include: ["expired", "superseded"], limit: PREVIEW }), [filters]);
  const [counted] = useLoaded(async () => filters && call("POST", "/v1/forget", { body: { filters: body(filters), dry_run: true } }), [filters]);
  const preview = (event) => {
    event.preventDefault();
    const given = Object.fromEntries([...new FormData(event.target)].filter(([, value]) => value.trim()));
    setFilters(Object.keys(given).length ? given : null);
  };
  // The first answer counts, and names what stands for exactly these memories.
  const ask = () =>
    run(async () => {
      const ids = (await collect(filters)).map((memory) => memory.id);
      if (ids.length === 1) return setAsks({ ids, count: 1 });
      try {
        await call("POST", "/v1/forget", { body: { ids } });
      } catch (error) {
        if (error.code !== "confirmation_required") throw error;
        setAsks({ ids, count: error.said.count, confirm: error.said.confirm });
      }
    });
  const forget = () =>
    run(async () => {
      const { ids, confirm } = asks;
      setAsks(null);
      await call("POST", "/v1/forget", { body: { ids, ...(confirm && { confirm }) } });
      location.hash = `#/forget?${ids.slice(0, 100).map((id) => `id=${id}`).join("&")}`;
    });
  return html`
    <p>Forgetting erases memories on every device, with their history. It cannot be undone. See first what it would be.</p>
    <form onSubmit=${preview}>
      <div class="row">
        <label>Contains the text <input name="contains" /></label>
        <label>Tag <input name="tags" /></label>
        <label>Scope <input name="scope" placeholder="project/acme" /></label>
        <label>Created before <input name="before" type="date" /></label>
      </div>
      <button>Preview</button>
    </form>
    <${Failure} problem=${problem ?? failed} />
    ${filters && page && counted &&
    html`<section aria-label="Preview">
      <div class="actions"><span role="status"><strong>${memories(counted.count)}</strong> would be forgotten.</span>
        ${counted.count > 0 && html`<button class="danger" disabled=${isRunning} onClick=${ask}>${counted.count === 1 ? "Forget it" : "Forget them"}</button>`}</div>
      ${page.items.map((memory) => html`<${Card} key=${memory.id} memory=${memory} />`)}
      ${page.next && html`<p>… and more.</p>`}
    </section>`}
    ${asks && html`<${Confirm} action="Forget" onNo=${() => setAsks(null)} onYes=${forget}
      question=${`Forget ${memories(asks.count)} on every device? This cannot be undone.`} />`}`;
}

const body = ({ tags, ...others }) => ({ ...others, ...(tags && { tags: [tags] }) });

async function collect(filters) {
  const found = [];
  for (let cursor; cursor !== null; ) {
    const page = await get("/v1/memories", { ...filters, include: ["expired", "superseded"], limit: 200, cursor });
    found.push(...page.items);
    cursor = page.next;
  }
  return found;
}

// A hub never confirms that no byte is left: its log, standbys and backups have it.
function told({ left, live_left: live, backup_days: days }) {
  const awaited = live ?? left;
  if (awaited) return `has not confirmed ${awaited} yet`;
  if (live == null) return "confirmed: no byte is left";
  return `forgotten in the live database; backups ${days == null ? "may keep it" : `keep it up to ${days} days`}`;
}

function Receipts({ ids }) {
  const [status, problem, reload] = useLoaded(() => get("/v1/receipts", { id: ids }), [ids.join()]);
  useEffect(() => {
    const timer = setInterval(reload, REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  return html`
    <${Failure} problem=${problem} />
    ${status &&
    html`<section aria-label="Receipts">
      <p role="status"><strong>${memories(status.forgotten)} ${status.forgotten === 1 ? "is" : "are"} forgotten on this device${
        status.status === "pending" ? "; the last bytes go when a program that reads now has ended" : ": no byte is left"
      }.</strong></p>
      <ul>
        ${status.devices.map((each) => html`<li key=${each.device}><bdi>${shown(each.name ?? each.device.slice(0, 7))}</bdi>: ${told(each)}</li>`)}
        ${!status.devices.length && html`<li>No other device shares the space.</li>`}
      </ul>
    </section>`}
    <p><a href="#/forget">Forget others</a></p>`;
}
