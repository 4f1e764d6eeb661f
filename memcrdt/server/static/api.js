// The REST interface of this server. The secret of the session stays in this tab.

const KEY = "memcrdt.session";
let onSignedOut = () => {};

export class Problem extends Error {
  constructor(said) {
    super(said.detail || said.title || "the server gave no reason");
    Object.assign(this, { code: said.code, remedy: said.remedy, said });
  }
}

export const signedIn = () => sessionStorage.getItem(KEY) !== null;

export function whenSignedOut(call) {
  onSignedOut = call;
}

/** Exchange the code of a link for a session. The code leaves the address first, so that no history keeps it. */
export async function signIn() {
  const code = /^#code=([0-9a-f]{64})$/.exec(location.hash)?.[1];
  if (!code) return;
  history.replaceState(null, "", "#/now");
  const answer = await request("POST", "/session", { body: { code } });
  sessionStorage.setItem(KEY, (await answer.json()).secret);
}

export async function signOut() {
  await request("DELETE", "/session").catch(() => {});
  forgetSession();
}

function forgetSession() {
  sessionStorage.removeItem(KEY);
  onSignedOut();
}

async function request(method, path, { body, type, headers = {}, signal } = {}) {
  const secret = sessionStorage.getItem(KEY);
  const sent = { ...headers };
  if (secret) sent.Authorization = `Bearer ${secret}`;
  if (body !== undefined) sent["Content-Type"] = type ?? "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers: sent, signal, body: type ? body : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ code: "unreachable", detail: "the server does not answer", remedy: "Run `memcrdt dashboard` again." });
  }
  if (answer.ok) return answer;
  if (answer.status === 401 && secret) forgetSession();
  throw new Problem(await answer.json().catch(() => ({ detail: `the server answered ${answer.status}` })));
}

export async function call(method, path, options) {
  const answer = await request(method, path, options);
  return answer.status === 204 ? null : answer.json();
}

export const get = (path, query, options) => call("GET", address(path, query), options);
export const raw = (method, path, options) => request(method, path, options);

/** A memory with its version, for changes that must not overwrite another one. */
export async function getMemory(id) {
  const answer = await request("GET", `/v1/memories/${id}`, { headers: { "Cache-Control": "no-cache" } });
  return { memory: await answer.json(), etag: answer.headers.get("ETag") };
}

export function address(path, query = {}) {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    value === undefined || value === null || value === "" ? [] : [].concat(value).map((each) => [name, String(each)]),
  );
  const text = new URLSearchParams(pairs).toString();
  return text ? `${path}?${text}` : path;
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Tell of each change until `signal` aborts. EventSource cannot send the secret, so this reads the stream itself. */
export async function follow(tell, state, signal) {
  let last = "";
  while (!signal.aborted && signedIn()) {
    try {
      const headers = { Accept: "text/event-stream", ...(last && { "Last-Event-ID": last }) };
      const answer = await request("GET", "/v1/changes", { headers, signal });
      state(true);
      for await (const event of events(answer.body)) {
        if (event.id) last = event.id;
        if (event.data && event.event !== "end") tell(JSON.parse(event.data)); // after the end it connects again
      }
    } catch (error) {
      if (error.name === "AbortError") return;
    }
    state(false);
    await pause(1000);
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = {};
      for (const line of block.split("\n")) {
        const [, name, content] = /^(\w+): ?(.*)$/.exec(line) ?? [];
        if (name) event[name] = content;
      }
      yield event;
    }
  }
}
