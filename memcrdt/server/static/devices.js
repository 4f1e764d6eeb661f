// Devices and spaces: who has what, how far each is behind and why, pairing and revoking.

import { useEffect, useState } from "./vendor/hooks.js";
import { call, get } from "./api.js";
import { DeviceMap, stateOf } from "./map.js";
import { Code } from "./qr.js";
import { Chip, Confirm, Failure, Time, Verdict, Words, html, memories, shown, useAction, useLoaded } from "./ui.js";

const REFRESH_MS = 5000;
const named = (device) => shown(device.name ?? `${device.device.slice(0, 7)}…`);

export function Devices() {
  const [loaded, problem, reload] = useLoaded(async () => {
    const [devices, spaces, sync] = await Promise.all([get("/v1/devices"), get("/v1/spaces"), get("/v1/sync")]);
    const members = await Promise.all(spaces.map((each) => get(`/v1/spaces/${encodeURIComponent(each.name)}/members`)));
    return { devices, spaces, sync, members };
  }, []);
  useEffect(() => {
    const timer = setInterval(reload, REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  const [run, isRunning, failed] = useAction();
  if (!loaded) return html`<h1>Devices and spaces</h1><${Failure} problem=${problem} />`;
  const syncNow = () => run(async () => (await call("POST", "/v1/sync?wait=10"), await reload()));
  const { devices, spaces, sync, members } = loaded;
  return html`
    <h1>Devices and spaces</h1>
    <${Verdict} state=${sync.state} text=${sync.text} />
    <div class="actions"><button class="secondary" disabled=${isRunning} aria-busy=${isRunning} onClick=${syncNow}>Sync now</button></div>
    <${Failure} problem=${problem ?? failed} />
    <${Pairing} spaces=${spaces} reload=${reload} />
    <section aria-label="Devices">
      <h2>Devices</h2>
      <${DeviceMap} devices=${devices} members=${members} />
      ${!devices.length && html`<p>This is the only device.</p>`}
      ${devices.map((device) => html`<${Device} key=${device.device} device=${device} reload=${reload} />`)}
    </section>
    <section aria-label="Spaces">
      <h2>Spaces</h2>
      ${spaces.map((space, at) => html`<${Space} key=${space.id} space=${space} members=${members[at]} devices=${devices} reload=${reload} />`)}
    </section>`;
}

/** What the user can do about the last error of a device. */
function advice(device) {
  if (device.state !== "accepted") return "";
  if (!device.connected && device.error) return "Check that the device is on, that `memcrdt serve` runs there, and that a firewall lets it through.";
  if (!device.connected && !device.addresses.length) return "No address is known. Both devices have to be on one network, or in one tailnet.";
  return "";
}

function Device({ device, reload }) {
  const [asks, setAsks] = useState(false);
  const [run, isRunning, problem] = useAction();
  const path = `/v1/devices/${encodeURIComponent(device.device)}`;
  const revoke = () => run(async () => (setAsks(false), await call("DELETE", path), await reload()));
  const accept = () => run(async () => (await call("POST", "/v1/devices", { body: { device: device.device } }), await reload()));
  return html`<article class="card" data-device=${device.device}>
    <header><strong><bdi>${named(device)}</bdi></strong> <${Chip} kind=${device.connected ? "news" : device.behind ? "warn" : ""}>${stateOf(device)}<//></header>
    <p>${device.spaces.map((space) => html`<${Chip} label="space">${shown(space)}<//> `)}</p>
    ${device.seen_at && html`<p><small>Last seen <${Time} at=${device.seen_at} />${device.address && html`, at <code>${shown(device.address)}</code>`}</small></p>`}
    ${device.unscrubbed > 0 && html`<p><small>Has not confirmed yet that no byte of ${memories(device.unscrubbed)} is left.</small></p>`}
    ${device.error && html`<p class="failure"><${Words} text=${device.error} /> ${device.error_at && html`(<${Time} at=${device.error_at} />)`}</p>`}
    ${advice(device) && html`<p><${Words} text=${advice(device)} /></p>`}
    <p><small><code class="id">${device.device}</code></small></p>
    <footer>
      ${device.state === "accepted" && html`<button class="danger" disabled=${isRunning} onClick=${() => setAsks(true)}>Revoke</button>`}
      ${device.state === "pending" && html`<button disabled=${isRunning} onClick=${() => setAsks(true)}>Accept</button>`}
    </footer>
    ${asks && device.state === "accepted" &&
    html`<${Confirm} action="Revoke" onNo=${() => setAsks(false)} onYes=${revoke}
      question=${`Revoke ${named(device)} in every space, for all members? It keeps what it has, and gets nothing more.`} />`}
    ${asks && device.state === "pending" &&
    html`<${Confirm} action="Accept" onNo=${() => setAsks(false)} onYes=${() => (setAsks(false), accept())}
      question=${`Share the space personal with ${device.device}? Compare the id with what \`memcrdt status\` shows on that device.`} />`}
    <${Failure} problem=${problem} />
  </article>`;
}

function Space({ space, members, devices, reload }) {
  const [run, isRunning, problem] = useAction();
  const path = `/v1/spaces/${encodeURIComponent(space.name)}/members`;
  const others = devices.filter((each) => each.state === "accepted" && !members.some((member) => member.device === each.device && member.state === "member"));
  const share = (event) => {
    event.preventDefault();
    const device = new FormData(event.target).get("device");
    run(async () => (await call("POST", path, { body: { device } }), await reload()));
  };
  return html`<article class="card">
    <header><strong><bdi>${shown(space.name)}</bdi></strong> ${memories(space.memories)}</header>
    ${space.revoked_by && html`<p class="failure">This device was revoked from it by ${shown(space.revoked_by)}.</p>`}
    ${space.name !== "local" && members.length > 0 &&
    html`<table>
      <thead><tr><th scope="col">device</th><th scope="col">may</th></tr></thead>
      <tbody>${members.map((each) => html`<tr key=${each.device}><td><bdi>${each.ours ? "this device" : shown(each.name ?? `${each.device.slice(0, 7)}…`)}</bdi></td><td>${each.rights ?? each.state}</td></tr>`)}</tbody>
    </table>`}
    ${space.name !== "local" && others.length > 0 &&
    html`<form class="row" onSubmit=${share}>
      <label>Share with <select name="device">${others.map((each) => html`<option value=${each.device}>${named(each)}</option>`)}</select></label>
      <button class="secondary" disabled=${isRunning}>Share</button>
    </form>`}
    ${space.name === "local" && html`<p><small>Memories of this space never leave this device.</small></p>`}
    <${Failure} problem=${problem} />
  </article>`;
}

const command = ({ code, addresses }) => `memcrdt pair ${code} --address ${addresses[0] ?? "HOST:PORT"}`;

function Pairing({ spaces, reload }) {
  const [pairing, setPairing] = useState(null);
  const [run, isRunning, problem] = useAction();
  useEffect(() => {
    if (pairing?.state !== "waiting") return;
    const stop = new AbortController();
    get(`/v1/pairing/${pairing.id}`, { wait: 30 }, { signal: stop.signal }).then(
      (now) => (setPairing(now), now.state === "paired" && reload()),
      () => {},
    );
    return () => stop.abort();
  }, [pairing]);
  const offer = (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    const body = { spaces: given.getAll("spaces"), read_only: given.has("read_only") };
    run(async () => setPairing(await call("POST", "/v1/pairing", { body })));
  };
  const join = (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    const body = { code: given.get("code").trim(), address: given.get("address").trim() || null };
    run(async () => (await call("POST", "/v1/join", { body }), await reload()));
  };
  const cancel = () => run(async () => (await call("DELETE", `/v1/pairing/${pairing.id}`), setPairing(null)));
  return html`<details class="card" open=${pairing !== null}>
    <summary>Pair another device</summary>
    ${pairing?.state === "waiting" &&
    html`<div role="status">
      <p>Type this on the other device within five minutes:</p>
      <p><code class="code">memcrdt pair ${pairing.code}</code></p>
      <${Code} text=${command(pairing)} />
      <p><small>If it does not find this device: <code>${command(pairing)}</code> The picture says the same.</small></p>
      <button class="secondary" onClick=${cancel}>Cancel</button>
    </div>`}
    ${pairing?.state === "paired" && html`<p role="status">Paired with <bdi>${named(pairing.device)}</bdi>.</p>`}
    ${pairing?.state === "failed" && html`<${Failure} problem=${{ message: pairing.error ?? "The code is invalid now." }} />`}
    ${pairing?.state !== "waiting" &&
    html`<form onSubmit=${offer}>
        <fieldset><legend>Share these spaces</legend>
          ${spaces.filter((each) => each.name !== "local").map((each) => html`<label><input type="checkbox" name="spaces" value=${each.name} defaultChecked=${each.name === "personal"} /> <bdi>${shown(each.name)}</bdi></label>`)}
          <label><input type="checkbox" name="read_only" /> the other device may only read them</label>
        </fieldset>
        <button disabled=${isRunning}>Show a code</button>
      </form>
      <form onSubmit=${join}>
        <label>Or type the code that the other device shows <input name="code" required placeholder="7-crossover-granite" autocomplete="off" /></label>
        <label>Its address, if it is not found <input name="address" placeholder="192.168.1.20:27380" autocomplete="off" /></label>
        <button class="secondary" disabled=${isRunning} aria-busy=${isRunning}>Pair</button>
      </form>`}
    <${Failure} problem=${problem} />
  </details>`;
}
