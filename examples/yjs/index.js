// Lists, adds, edits and forgets memories:  node index.js http://127.0.0.1:27381/yjs/personal TOKEN
import WebSocket from 'ws'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { add, edit, forget, list, tag, text } from './memories.js'

const [space, token] = process.argv.slice(2)

// A space consists of several documents, its shards. One of them is open for new memories.
const { open } = await (await fetch(`${space}?token=${token}`)).json()
const doc = new Y.Doc()
const provider = new WebsocketProvider(space.replace('http', 'ws'), String(open), doc, {
  params: { token }, WebSocketPolyfill: WebSocket
})
await new Promise((resolve) => provider.once('synced', resolve))
const map = doc.getMap('memories')

const kept = add(map, 'Ada feeds the cat')
const wrong = add(map, 'The cat is called Grace')
doc.transact(() => {
  edit(map, kept, 'Ada feeds the cat at seven')
  tag(map, kept, 'cat')
})

forget(map, wrong)
while (!map.has(`${wrong}/x`)) await new Promise((resolve) => map.observe(resolve)) // its tombstone comes back

for (const id of list(map)) console.log(text(map, id))
provider.destroy()
doc.destroy()
