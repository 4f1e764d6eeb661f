// Runs JavaScript that a test sends, one JSON line each, and answers with what it returns.
import { createInterface } from 'node:readline'
import WebSocket from 'ws'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import * as memcrdt from './memcrdt.js'

const state = {} // what one snippet leaves for the next

const providers = { 3.1: WebsocketProvider }

/** Import another version of y-websocket for connect(). */
async function load (version) {
  providers[version] ??= (await import(`y-websocket-${version}`)).WebsocketProvider
}

function connect (url, shard, token, { version = '3.1', ...options } = {}) {
  const doc = new Y.Doc()
  const params = token === null ? {} : { token }
  const provider = new providers[version](url, shard, doc, {
    params, WebSocketPolyfill: WebSocket, disableBc: true, maxBackoffTime: 100, ...options
  })
  const closes = []
  provider.on('connection-close', (event) => closes.push([event?.code, event?.reason]))
  return { doc, provider, closes, map: doc.getMap('memories'), awareness: provider.awareness }
}

async function until (condition, seconds = 30) {
  const end = Date.now() + seconds * 1000
  while (!await condition()) {
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const open = (url, token, options = {}) => memcrdt.open(url, token, { WebSocket, device: 'test', ...options })
const scope = { Y, WebSocket, memcrdt, open, load, WebsocketProvider, connect, until, state }
for await (const line of createInterface({ input: process.stdin })) {
  const { code, given } = JSON.parse(line)
  let answer
  try {
    const names = { ...scope, ...given }
    const run = new Function(...Object.keys(names), `return (async () => { ${code} })()`)
    answer = { value: await run(...Object.values(names)) ?? null }
  } catch (error) {
    answer = { error: String(error.stack) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
process.exit()
