// kafkajs as one member of a consumer group.
//
//     node member.js BOOTSTRAP GROUP TOPIC PROTOCOL ASSIGNOR INSTANCE SESSION_MS
//
// Arguments and lines are those of ../python/member.py. kafkajs knows the classic protocol, hides the generation, and
// revokes everything at each rebalance.
'use strict'

const { Kafka, PartitionAssigners, logLevel } = require('kafkajs')

const [bootstrap, groupId, topic, protocol, assignor, instance, sessionMs] = process.argv.slice(2)
const started = BigInt(Date.now()) * 1000n - process.hrtime.bigint() / 1000n

// Straight to the descriptor: what was said has left the process before the next step, whatever happens to it then.
function say(...words) {
  const micros = started + process.hrtime.bigint() / 1000n
  require('fs').writeSync(1, [micros, ...words].join(' ') + '\n')
}

function sayTrouble(text) {
  say('trouble', String(text).split(/\s+/).join(' '))
}

let owned = []
let isLeaving = false

// kafkajs finishes a join that is under way before it leaves; nothing is done with what that one brings.
function own(partitions) {
  if (isLeaving) partitions = []
  if (owned.length > 0) say('revoked', -1, owned.join(','))
  owned = [...partitions].sort((a, b) => a - b)
  if (owned.length > 0) say('assigned', -1, owned.join(','))
}

async function main() {
  const kafka = new Kafka({
    brokers: [bootstrap],
    logLevel: logLevel.WARN,
    logCreator: () => ({ log }) => sayTrouble(`${log.message} ${log.error || ''}`),
    retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 100 },
  })
  const consumer = kafka.consumer({
    groupId,
    sessionTimeout: Number(sessionMs),
    heartbeatInterval: 500,
    rebalanceTimeout: 10000,
    minBytes: 10000,
    maxWaitTimeInMs: 100,
    partitionAssigners: [PartitionAssigners.roundRobin],
  })
  consumer.on(consumer.events.REBALANCING, () => own([]))
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => own(payload.memberAssignment[topic] || []))
  consumer.on(consumer.events.CRASH, ({ payload }) => sayTrouble(`crash ${payload.error}`))
  process.stdin.resume()
  process.stdin.on('end', async () => {
    isLeaving = true
    own([])
    await consumer.disconnect()
    say('left')
    process.exit(0)
  })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary }) => {
      const first = batch.firstOffset()
      const last = batch.messages[batch.messages.length - 1].offset
      say('records', batch.partition, first, last)
      const end = (BigInt(last) + 1n).toString()
      await commitOffsetsIfNecessary({ topics: [{ topic, partitions: [{ partition: batch.partition, offset: end }] }] })
      say('committed', batch.partition, end)
      resolveOffset(last)
      await heartbeat()
    },
  })
}

if (protocol !== 'classic' || instance !== '-') throw new Error('kafkajs has neither KIP-848 nor static membership')
if (assignor !== '-' && assignor !== 'roundrobin') throw new Error(`kafkajs has no assignor ${assignor}`)
main().catch((error) => {
  sayTrouble(error)
  process.exit(1)
})
