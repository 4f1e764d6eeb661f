// A map of who syncs with whom: this device in the middle, and the devices that share a space with it or with each other.

import { brief, html, shown } from "./ui.js";

export function stateOf(device) {
  if (device.state === "revoked") return "revoked";
  if (device.state === "pending") return "not accepted: it tried to connect";
  const lag = device.behind ? `${device.behind} ${device.behind === 1 ? "change" : "changes"} behind` : device.agreed_at ? "in sync" : "nothing exchanged yet";
  return `${device.connected ? "connected" : "not connected"}, ${lag}`;
}

const WIDTH = 380; // as narrow as a phone, so that names can be read there
const MIDDLE = { x: WIDTH / 2, y: 0 };
const RADIUS = { x: 125, y: 85 };
const ROOM = { above: 16, below: 46 }; // around the dots, for the names below them
const MOST = 12; // devices; the list below has all

export function DeviceMap({ devices, members }) {
  const known = devices.filter((each) => each.state === "accepted" && each.spaces.length).slice(0, MOST);
  if (!known.length) return null;
  const places = known.map((device, at) => {
    const angle = (2 * Math.PI * at) / known.length - Math.PI / 2 + (known.length === 1 ? Math.PI / 2 : 0);
    return { device, x: MIDDLE.x + RADIUS.x * Math.cos(angle), y: MIDDLE.y + RADIUS.y * Math.sin(angle) };
  });
  const top = Math.min(0, ...places.map(({ y }) => y)) - ROOM.above;
  const bottom = Math.max(0, ...places.map(({ y }) => y)) + ROOM.below;
  return html`<figure class="map">
    <svg viewBox="0 ${top} ${WIDTH} ${bottom - top}" role="img" aria-label=${said(known)}>
      ${pairs(places, members).map(([a, b]) => html`<line x1=${a.x} y1=${a.y} x2=${b.x} y2=${b.y} class="others" />`)}
      ${places.map(
        (at) => html`<line x1=${MIDDLE.x} y1=${MIDDLE.y} x2=${at.x} y2=${at.y} class=${lineOf(at.device)} />`,
      )}
      <${Spot} ...${MIDDLE} name="this device" kind="here" />
      ${places.map((at) => html`<${Spot} x=${at.x} y=${at.y} name=${nameOf(at.device)} note=${lagOf(at.device)} kind=${lineOf(at.device)} />`)}
    </svg>
    <figcaption>
      <span class="key connected">connected</span> <span class="key apart">not connected</span>
      ${known.length > 1 && html`<span class="key others">share a space, and may sync without this device</span>`}
    </figcaption>
  </figure>`;
}

const Spot = ({ x, y, name, note, kind }) => html`<g class=${`spot ${kind}`}>
  <circle cx=${x} cy=${y} r="9" />
  <text x=${x} y=${y + 24}>${name}</text>
  ${note && html`<text class="note" x=${x} y=${y + 39}>${note}</text>`}
</g>`;

const nameOf = (device) => shown(brief(device.name ?? `${device.device.slice(0, 7)}…`, 20));
const lineOf = (device) => (device.connected ? "connected" : "apart");
const lagOf = (device) => stateOf(device).replace(/^(not )?connected, /, "");
const said = (known) => `This device, and ${known.map((device) => `${nameOf(device)}: ${stateOf(device)}`).join("; ")}`;

/** The pairs of other devices that are members of one space. */
function pairs(places, members) {
  const together = (a, b) => members.some((space) => [a, b].every((at) => space.some((each) => each.device === at.device.device && each.state === "member")));
  return places.flatMap((a, at) => places.slice(at + 1).flatMap((b) => (together(a, b) ? [[a, b]] : [])));
}
