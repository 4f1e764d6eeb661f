// Lists, adds, edits and forgets memories:  node index.js http://127.0.0.1:27381/yjs/personal TOKEN
import WebSocket from 'ws'
import { open } from './memcrdt.js'

const [url, token] = process.argv.slice(2)
const space = await open(url, token, { device: 'yjs example', WebSocket })

space.on('refused', async ({ reason, recover }) => console.warn(reason, await recover()))
space.on('revoked', (reason) => console.warn(reason))
space.on('denied', (reason) => console.warn(reason))

const kept = space.add('Ada feeds the cat')
const wrong = space.add('The cat is called Grace')
space.edit(kept, 'Ada feeds the cat at seven')
space.tag(kept, 'cat')
space.forget(wrong)
await space.whenSaved()

for (const { text, tags } of space.list()) console.log([text, ...tags].join(' #'))
await space.close()
