// A document of automerge-repo in memory, with its adapters for a WebSocket server and a WebSocket client.

import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { Repo } from '@automerge/automerge-repo'
import { WebSocketClientAdapter, WebSocketServerAdapter } from '@automerge/automerge-repo-network-websocket'
import { WebSocketServer } from 'ws'

const LOOPBACK = '127.0.0.1'

export async function open () {
  let server, adapter, handle

  function create () {
    server = createServer()
    const repo = new Repo({ network: [new WebSocketServerAdapter(new WebSocketServer({ server }))] })
    handle = repo.create({ memories: {} })
  }

  return {
    port: () => server.address().port,
    document: () => handle?.url,
    count: () => handle?.isReady() ? Object.keys(handle.doc().memories).length : 0,
    addAll (texts) {
      if (handle === undefined) create()
      const ids = texts.map(() => randomUUID())
      handle.change(doc => {
        texts.forEach((text, number) => { doc.memories[ids[number]] = { text, created_at: Date.now() } })
      })
      return ids
    },
    forget: ids => handle.change(doc => ids.forEach(id => { delete doc.memories[id] })),
    watch: note => handle.on('change', ({ doc, patches }) => {
      const keys = new Set(patches.filter(({ path }) => path[0] === 'memories').map(({ path }) => path[1]))
      for (const key of keys) if (doc.memories[key]?.text) note(doc.memories[key].text)
    }),
    listen: () => new Promise(resolve => server.listen(0, LOOPBACK, resolve)),
    async connect (port, document) {
      if (adapter === undefined) {
        adapter = new WebSocketClientAdapter(`ws://${LOOPBACK}:${port}`)
        new Repo({ network: [adapter] }).find(document).then(found => { handle = found })
      } else {
        adapter.connect(adapter.peerId, adapter.peerMetadata)
      }
    },
    disconnect: () => adapter.disconnect()
  }
}
