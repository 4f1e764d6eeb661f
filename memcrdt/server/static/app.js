// The shell: who is signed in, which screen the address names, and the one stream of changes for all screens.

import { render } from "./vendor/preact.js";
import { useEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import { follow, signIn, signOut, signedIn, whenSignedOut } from "./api.js";
import { Devices } from "./devices.js";
import { Find } from "./find.js";
import { Forget } from "./forget.js";
import { Health } from "./health.js";
import { Memory } from "./memory.js";
import { Now } from "./now.js";
import { Timeline } from "./timeline.js";
import { Failure, html } from "./ui.js";

const SCREENS = [["now", "Now"], ["find", "Find"], ["timeline", "Timeline"], ["devices", "Devices"], ["forget", "Forget"], ["health", "Health"]];
const THEMES = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [screen, id] = path.split("/");
  const given = {};
  for (const [name, value] of new URLSearchParams(query)) given[name] = name in given ? [given[name], value].flat() : value;
  return { screen: screen || "now", id, query: given };
}

function useRoute() {
  const [now, setNow] = useState(route);
  useEffect(() => {
    const changed = () => setNow(route());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return now;
}

function useFeed() {
  const [isLive, setLive] = useState(false);
  const feed = useMemo(() => {
    const listeners = new Set();
    return {
      listen: (call) => (listeners.add(call), () => void listeners.delete(call)),
      tell: (change) => listeners.forEach((call) => call(change)),
    };
  }, []);
  useEffect(() => {
    const stop = new AbortController();
    follow(feed.tell, setLive, stop.signal);
    return () => stop.abort();
  }, []);
  return [feed, isLive];
}

function Theme() {
  const [theme, setTheme] = useState(localStorage.getItem("memcrdt.theme") ?? "auto");
  useEffect(() => {
    localStorage.setItem("memcrdt.theme", theme);
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }, [theme]);
  const names = Object.keys(THEMES);
  const next = () => setTheme(names[(names.indexOf(theme) + 1) % names.length]);
  return html`<button class="plain" id="theme" onClick=${next}>${THEMES[theme]}</button>`;
}

function Dashboard() {
  const { screen, id, query } = useRoute();
  const [feed, isLive] = useFeed();
  const main = useRef();
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = `${(SCREENS.find(([name]) => name === screen) ?? ["", "A memory"])[1]} · memcrdt`;
    if (!isFirst.current) main.current.focus();
    isFirst.current = false;
    scrollTo(0, 0);
  }, [screen, id]);
  return html`
    <a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), main.current.focus())}>Skip to the content</a>
    <header class="top">
      <nav aria-label="Screens">
        <ul class="brand"><li><strong>memcrdt</strong></li></ul>
        <ul>${SCREENS.map(([name, title]) => html`<li><a href="#/${name}" aria-current=${name === screen ? "page" : undefined}>${title}</a></li>`)}</ul>
      </nav>
    </header>
    <main id="main" tabindex="-1" ref=${main}>
      ${screen === "find" ? html`<${Find} query=${query} />`
        : screen === "timeline" ? html`<${Timeline} query=${query} />`
        : screen === "memory" ? html`<${Memory} key=${id} id=${id} feed=${feed} />`
        : screen === "devices" ? html`<${Devices} />`
        : screen === "forget" ? html`<${Forget} query=${query} />`
        : screen === "health" ? html`<${Health} />`
        : html`<${Now} feed=${feed} isLive=${isLive} />`}
    </main>
    <footer class="bottom"><${Theme} /> <button class="plain" onClick=${signOut}>Sign out</button></footer>`;
}

function Welcome({ problem }) {
  return html`<main>
    <h1>memcrdt</h1>
    <${Failure} problem=${problem} />
    <p>Run <code>memcrdt dashboard</code> in a terminal. It opens this page with a link that works once.</p>
    <p>Programs use the <a href="/v1/openapi.json">REST interface</a>.</p>
  </main>`;
}

function App({ problem }) {
  const [isIn, setIn] = useState(signedIn());
  useEffect(() => whenSignedOut(() => setIn(false)), []);
  return isIn ? html`<${Dashboard} />` : html`<${Welcome} problem=${problem} />`;
}

const problem = await signIn().then(() => null, (error) => error);
addEventListener("hashchange", () => location.hash.startsWith("#code=") && location.reload());
render(html`<${App} problem=${problem} />`, document.body);
