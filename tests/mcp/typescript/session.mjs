// One session with a server, by a stock client. Prints what the client got as JSON.
//
// node session.mjs '{"client": "client-2026" | "client-2025" | "sdk", "url": ..., "token": ...}' (over HTTP)
// node session.mjs '{"client": ..., "command": ..., "args": [...], "env": {...}}' (over stdio)

import * as modern from '@modelcontextprotocol/client'
import { StdioClientTransport as ModernStdio } from '@modelcontextprotocol/client/stdio'
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport as OldStdio } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport as OldHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js'

const asked = JSON.parse(process.argv[2])
const old = asked.client === 'sdk'
const [Http, Stdio] = old ? [OldHttp, OldStdio] : [modern.StreamableHTTPClientTransport, ModernStdio]
const info = { name: 'typescript', version: '1' }
const mode = asked.client === 'client-2026' ? { pin: '2026-07-28' } : 'legacy'
const client = old ? new OldClient(info) : new modern.Client(info, { versionNegotiation: { mode } })
const transport = asked.url
  ? new Http(new URL(asked.url), { requestInit: { headers: { Authorization: `Bearer ${asked.token}` } } })
  : new Stdio({ command: asked.command, args: asked.args, env: asked.env, cwd: asked.cwd, stderr: 'inherit' })

let told
const updated = new Promise((resolve) => { told = resolve })
const onUpdate = (notification) => told(notification.params.uri)
client.setNotificationHandler(old ? ResourceUpdatedNotificationSchema : 'notifications/resources/updated', onUpdate)

const recent = 'memory://recent'
const said = async (name, given) => {
  const result = await client.callTool({ name, arguments: given })
  return { text: result.content[0].text, data: result.structuredContent, isError: result.isError ?? false }
}

await client.connect(transport)
const watching = asked.client === 'client-2026'
  ? await client.listen({ resourceSubscriptions: [recent] })
  : await client.subscribeResource({ uri: recent })
const { tools } = await client.listTools()
const added = await said('add_memory', { text: `Ada prefers tea with ${asked.client}`, scope: 'global', tags: ['drinks'] })
const notified = await updated
const found = await said('search_memories', { query: 'tea' })
const refused = await said('get_memory', { id: 'nothing' })
const { contents } = await client.readResource({ uri: `memory://${added.data.memories[0].id}` })
const ref = { type: 'ref/prompt', name: 'recall' }
const { completion } = await client.complete({ ref, argument: { name: 'topic', value: 'dri' } })
const prompt = await client.getPrompt({ name: 'recall', arguments: { topic: 'tea' } })
await watching?.close?.()
const server = client.getServerVersion()
await client.close()

console.log(JSON.stringify({
  server: server?.name,
  tools: tools.map((tool) => tool.name),
  added,
  notified,
  found,
  refused,
  resource: contents[0].text,
  completed: completion.values,
  prompt: prompt.messages[0].content.text,
}))
