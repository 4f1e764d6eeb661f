// A document of Yjs in memory: in the server of y-websocket at the side that holds it, and a WebsocketProvider at the other.

import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { getYDoc, setupWSConnection } from '@y/websocket-server/utils'
import WebSocket, { WebSocketServer } from 'ws'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'

const ROOM = 'bench'
const LOOPBACK = '127.0.0.1'

export async function open () {
  let doc = getYDoc(ROOM)
  let server, provider
  const map = () => doc.getMap('memories')
  return {
    port: () => server.address().port,
    count: () => map().size,
    addAll: texts => doc.transact(() => texts.map(text => {
      const id = randomUUID()
      map().set(id, { text, created_at: Date.now() })
      return id
    })),
    forget: ids => doc.transact(() => ids.forEach(id => map().delete(id))),
    watch: note => map().observe(event => {
      for (const [key, change] of event.changes.keys) if (change.action === 'add') note(map().get(key).text)
    }),
    listen () {
      server = createServer()
      new WebSocketServer({ server }).on('connection', setupWSConnection)
      return new Promise(resolve => server.listen(0, LOOPBACK, resolve))
    },
    async connect (port) {
      if (provider === undefined) doc = new Y.Doc()
      provider = new WebsocketProvider(`ws://${LOOPBACK}:${port}`, ROOM, doc, { WebSocketPolyfill: WebSocket, disableBc: true })
    },
    async disconnect () {
      provider.destroy()
    }
  }
}
