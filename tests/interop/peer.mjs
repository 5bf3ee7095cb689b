// A js-libp2p peer with the same commands and answers, in lines of JSON, as bench/net_peer.py.
import { gossipsub } from '@chainsafe/libp2p-gossipsub'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { createInterface } from 'node:readline'

const TOPIC = 'ponw-bench'
const say = (event) => process.stdout.write(JSON.stringify(event) + '\n')

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), pubsub: gossipsub({ heartbeatInterval: 500, allowPublishToZeroTopicPeers: true }) }
})

const known = new Map()
const waiting = new Map()
node.addEventListener('peer:identify', ({ detail }) => {
  const answer = { agent: detail.agentVersion, protocols: [...detail.protocols].sort() }
  known.set(detail.peerId.toString(), answer)
  waiting.get(detail.peerId.toString())?.(answer)
})
const identified = (peer) => known.get(peer) ?? new Promise((resolve) => waiting.set(peer, resolve))

node.services.pubsub.addEventListener('gossipsub:graft', ({ detail }) => say({ do: 'graft', peer: detail.peerId }))
node.services.pubsub.addEventListener('message', ({ detail }) => {
  say({ do: 'message', sender: detail.from.toString(), data: new TextDecoder().decode(detail.data) })
})
node.services.pubsub.subscribe(TOPIC)

const commands = {
  dial: async ({ address }) => ({ peer: (await node.dial(multiaddr(address))).remotePeer.toString() }),
  identify: async ({ peer }) => identified(peer),
  publish: async ({ topic, data }) => {
    await node.services.pubsub.publish(topic, new TextEncoder().encode(data))
    return {}
  }
}

say({ do: 'ready', peer: node.peerId.toString(), address: node.getMultiaddrs()[0].toString() })
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  say({ do: command.do, ...await commands[command.do](command) })
}
await node.stop()
process.exit(0)
