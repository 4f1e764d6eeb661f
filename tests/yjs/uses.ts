// Right and wrong uses of memcrdt.js: tsc refuses exactly the lines that are marked.
import { type AddOptions, type Memory, MemcrdtError, open, type Refusal, type Space } from './memcrdt.js'

export async function uses (): Promise<void> {
  const space: Space = await open('http://127.0.0.1:27381/yjs/personal', 'secret', { device: 'page', by: null })
  const options: AddOptions = { scope: 'project/acme', tags: ['one'], metadata: { deep: { list: [1, null] } }, pinned: true }
  const id: string = space.add('a text', options)
  space.setAttribute(id, 'importance', 0.5)
  space.link(id, 'about', id)
  const found: Memory | undefined = space.get(id)
  const tags: string[] = found?.tags ?? []
  const stop: () => void = space.on('change', (ids) => { ids.has(tags[0]) })
  space.on('refused', async ({ shard, reason, recover }: Refusal) => { console.warn(shard, reason, Object.keys(await recover())) })
  space.on('denied', (reason) => { reason.trim() })
  await space.whenSaved()
  stop()
  // @ts-expect-error a memory has to be looked for
  space.get(id).text
  // @ts-expect-error there is no such attribute
  space.setAttribute(id, 'author', 'Ada')
  // @ts-expect-error there is no such event
  space.on('removed', () => {})
  // @ts-expect-error a text is a string
  space.add(7)
  // @ts-expect-error options are named in snake case
  space.add('a text', { expiresAt: 1 })
  await space.close().catch((error) => { if (error instanceof MemcrdtError) console.warn(error.code) })
}
