// A session with the REST interface through a client whose types are generated from its description.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Memory = components["schemas"]["MemoryResource"];
type Problem = components["schemas"]["Problem"];

declare const process: { argv: string[]; stdout: { write(text: string): void } };

const [url, token] = process.argv.slice(2) as [string, string];
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });

const added = await client.POST("/v1/memories", {
  body: { text: "Ada prefers tea", scope: "project/acme", tags: ["drinks"], metadata: { year: 2026 } },
});
const memory: Memory | undefined = added.data;
if (memory === undefined) throw new Error("nothing was added");
const path = { id: memory.id };
const etag = added.response.headers.get("etag") ?? "";

const changed = await client.PATCH("/v1/memories/{id}", { params: { path }, body: { text: "Ada prefers coffee", pinned: true } });
const stale = await client.PATCH("/v1/memories/{id}", {
  params: { path, header: { "If-Match": etag } },
  body: { text: "Ada prefers water" },
});
const problem: Problem | undefined = stale.error;
const found = await client.GET("/v1/search", { params: { query: { q: "what does Ada drink?", tags: ["drinks"], explain: true } } });
const history = await client.GET("/v1/memories/{id}/history", { params: { path } });
const tags: Record<string, number> | undefined = (await client.GET("/v1/tags")).data;

type Changes = components["schemas"]["Changes"]; // the other form of the answer is a stream
const start = await client.GET("/v1/changes", { params: { query: {} } });
await client.PUT("/v1/memories/by-key/{key}", { params: { path: { key: "staging" } }, body: { text: "Staging is at port 8443" } });
const news = await client.GET("/v1/changes", { params: { query: { since: (start.data as Changes).next, wait: 30 } } });

const forgotten = await client.DELETE("/v1/memories/{id}", { params: { path } });

// The last bytes go when a statement that reads at that moment has ended, so the answer may be "pending" at first.
const receiptsOf = () => client.GET("/v1/receipts", { params: { query: { id: [memory.id] } } });
let receipts = await receiptsOf();
while (receipts.data?.status === "pending") {
  await new Promise((resolve) => setTimeout(resolve, 50));
  receipts = await receiptsOf();
}

process.stdout.write(
  JSON.stringify({
    memory,
    changed: changed.data?.text,
    stale: [stale.response.status, problem?.code, problem?.memory?.text],
    found: found.data?.items.map((each) => each.memory.text),
    history: history.data?.map((each) => each.text),
    tags,
    news: (news.data as Changes).changes.map((each) => each.kind),
    forgotten: forgotten.data?.count,
    receipts: receipts.data?.status,
  }),
);
