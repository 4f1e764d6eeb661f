// A timeline: the memories of a scope by day, newest first.

import { address, get } from "./api.js";
import { Pages } from "./pages.js";
import { Card, Failure, html, shown, useLoaded } from "./ui.js";

const day = new Intl.DateTimeFormat("en", { weekday: "long", year: "numeric", month: "long", day: "numeric" });
const dayOf = (memory) => day.format(new Date(memory.created_at));

export function Timeline({ query }) {
  const [scopes, problem] = useLoaded(() => get("/v1/scopes", { limit: 200 }), []);
  const choose = (event) => location.replace(address("#/timeline", { scope: event.target.value }));
  return html`<h1>Timeline</h1>
    <${Failure} problem=${problem} />
    <label>Scope
      <select value=${query.scope ?? ""} onChange=${choose}>
        <option value="">all</option>
        ${(scopes ?? []).map((scope) => html`<option value=${scope} selected=${scope === query.scope}>${shown(scope)}</option>`)}
      </select></label>
    <${Days} key=${query.scope} scope=${query.scope} />`;
}

// What no longer holds is a part of the story.
const Days = ({ scope }) => html`<section class="timeline" aria-label="Days">
  <${Pages} filters=${{ scope, include: ["expired", "superseded"] }} draw=${drawn} empty="There is nothing yet." />
</section>`;

const drawn = (memory, before) => html`
  ${(!before || dayOf(before) !== dayOf(memory)) && html`<h2>${dayOf(memory)}</h2>`}
  <${Card} key=${memory.id} memory=${memory} />`;
