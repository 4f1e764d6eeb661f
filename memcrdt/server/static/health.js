// Health, export and import.

import { useState } from "./vendor/hooks.js";
import { Problem, address, call, get, raw } from "./api.js";
import { Failure, Time, Verdict, Words, bytes, html, shown, useAction, useLoaded } from "./ui.js";

const SHOWN = 20; // refused lines

export function Health() {
  const [health, problem, reload] = useLoaded(() => get("/v1/health"), []);
  const [stats] = useLoaded(() => get("/v1/stats"), []);
  const [report, setReport] = useState(null);
  const [run, isRunning, failed] = useAction();
  const acknowledge = () => run(async () => (await call("POST", "/v1/alarms/acknowledge"), await reload()));
  const examine = () => run(async () => setReport(await get("/v1/doctor")));
  return html`
    <h1>Health, export and import</h1>
    <${Failure} problem=${problem ?? failed} />
    ${health &&
    html`<${Verdict} ...${health.verdict} />
      ${health.alarms.length > 0 &&
      html`<section aria-label="Alarms"><h2>Alarms</h2>
        <ul>${health.alarms.map((each) => html`<li key=${each.id}><${Words} text=${each.text} /> (<${Time} at=${each.at} />)</li>`)}</ul>
        <button class="secondary" disabled=${isRunning} onClick=${acknowledge}>I have seen them</button>
      </section>`}
      <table>
        <tbody>
          <tr><th scope="row">memories</th><td>${stats?.memories.toLocaleString("en")}</td></tr>
          <tr><th scope="row">conflicts</th><td>${stats?.conflicted}</td></tr>
          <tr><th scope="row">forgotten</th><td>${stats?.forgotten}</td></tr>
          <tr><th scope="row">size of the store</th><td>${bytes(health.size)}</td></tr>
          <tr><th scope="row">budget</th><td>${bytes(health.budget.used)} used, ${health.budget.limit === null ? "no limit" : `of ${bytes(health.budget.limit)}`}</td></tr>
          <tr><th scope="row">search model</th><td>${shown(health.search.model ?? "none: search by words only")}${health.search.waiting ? `, ${health.search.waiting} texts wait` : ""}</td></tr>
          ${health.search.error && html`<tr><th scope="row">search error</th><td>${shown(health.search.error)}</td></tr>`}
          ${health.search.suggestion && html`<tr><th scope="row">a better model</th><td><${Words} text=${health.search.suggestion} /></td></tr>`}
          <tr><th scope="row">this device</th><td><code class="id">${health.device}</code></td></tr>
        </tbody>
      </table>`}
    <section aria-label="Check"><h2>Check</h2>
      <p>Reads every row of the store, and changes nothing.</p>
      <button class="secondary" disabled=${isRunning} aria-busy=${isRunning} onClick=${examine}>Check the store</button>
      ${report &&
      html`<div role="status">${report.problems.length ? html`<ul>${report.problems.map((each) => html`<li><${Words} text=${each} /></li>`)}</ul><p><code>memcrdt doctor --repair</code> repairs.</p>` : html`<p>Nothing is damaged.</p>`}
        ${report.notes.map((each) => html`<p><small>${shown(each)}</small></p>`)}</div>`}
    </section>
    <${Export} />
    <${Import} />`;
}

function Export() {
  const [run, isRunning, problem] = useAction();
  const save = (event) => {
    event.preventDefault();
    const history = new FormData(event.target).has("history");
    run(async () => {
      const answer = await raw("GET", address("/v1/export", { history }));
      const url = URL.createObjectURL(await answer.blob());
      const link = Object.assign(document.createElement("a"), { href: url, download: "memories.jsonl" });
      link.click();
      URL.revokeObjectURL(url);
    });
  };
  return html`<section aria-label="Export"><h2>Export</h2>
    <form onSubmit=${save}>
      <label><input type="checkbox" name="history" /> with all earlier texts</label>
      <button class="secondary" disabled=${isRunning} aria-busy=${isRunning}>Export all memories</button>
    </form>
    <${Failure} problem=${problem} />
  </section>`;
}

function Import() {
  const [result, setResult] = useState(null);
  const [run, isRunning, problem] = useAction();
  const read = (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    run(async () => {
      const path = address("/v1/import", { dry_run: given.has("dry_run") });
      const answer = await raw("POST", path, { body: given.get("file"), type: "application/x-ndjson" });
      const lines = (await answer.text()).trim().split("\n").map((line) => JSON.parse(line));
      const last = lines.pop();
      setResult({ report: last.report, problem: last.error && new Problem(last.error), refused: lines.filter((line) => !line.ok) });
    });
  };
  return html`<section aria-label="Import"><h2>Import</h2>
    <form onSubmit=${read}>
      <label>Lines of JSON, as an export has them <input type="file" name="file" required accept=".jsonl,.ndjson,.json,.txt" /></label>
      <label><input type="checkbox" name="dry_run" defaultChecked /> only count</label>
      <button class="secondary" disabled=${isRunning} aria-busy=${isRunning}>Import</button>
    </form>
    <${Failure} problem=${problem ?? result?.problem} />
    ${result?.report &&
    html`<div role="status"><p>${Object.entries(result.report).filter(([, value]) => typeof value === "number").map(([name, value]) => `${name.replaceAll("_", " ")}: ${value}`).join(", ")}</p>
      <ul>${result.refused.slice(0, SHOWN).map((line) => html`<li>line ${line.line}: ${shown(line.reason)}</li>`)}</ul></div>`}
  </section>`;
}
