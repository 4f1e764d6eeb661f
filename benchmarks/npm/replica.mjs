// Hold a replica in a process of its own, and answer the commands that ../replica.py describes:
//
//     node replica.mjs y-websocket|automerge-repo

import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

const BATCH = 1000
const POLL_MS = 10
const POLL_SHARE = 20 // of the time is spent asleep for one part that a poll takes

const { open } = await import(`./${process.argv[2]}.mjs`)
const replica = await open()
const held = []
const arrivals = new Map()
let news = () => {}

const seconds = () => Number(process.hrtime.bigint()) / 1e9
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

function note (text) {
  arrivals.set(text, seconds())
  news()
}

async function arrival (text) {
  while (!arrivals.has(text)) await new Promise(resolve => { news = resolve })
  return arrivals.get(text)
}

async function until (count) {
  for (;;) {
    const begun = seconds()
    if (replica.count() === count) return seconds()
    await sleep(Math.max(POLL_MS, POLL_SHARE * (seconds() - begun) * 1000))
  }
}

function usage () {
  const used = process.resourceUsage()
  return { cpu_s: (used.userCPUTime + used.systemCPUTime) / 1e6, peak_mb: used.maxRSS * 1024 / 1e6 }
}

async function hold (file) {
  const texts = readFileSync(file, 'utf8').split('\n').filter(text => text)
  for (let start = 0; start < texts.length; start += BATCH) held.push(...replica.addAll(texts.slice(start, start + BATCH)))
  await replica.listen()
}

async function answer (asked) {
  let at = seconds()
  if (asked.do === 'admit') return { port: replica.port() }
  else if (asked.do === 'hold') await hold(asked.file)
  else if (asked.do === 'connect') await replica.connect(asked.port, asked.document)
  else if (asked.do === 'until') at = await until(asked.count)
  else if (asked.do === 'watch') replica.watch(note)
  else if (asked.do === 'seen') at = await arrival(asked.text)
  else if (asked.do === 'add') replica.addAll([asked.text])
  else if (asked.do === 'forget') replica.forget(held.filter((_, number) => number % 2 === 0))
  else if (asked.do === 'disconnect') await replica.disconnect()
  return { at, document: replica.document?.(), ...usage() }
}

process.stdout.write(JSON.stringify({ device: '' }) + '\n')
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await answer(JSON.parse(line))) + '\n')
}
process.exit(0)
