"""Every bound of the peer network, with its unit. Protocol numbers proper stand in economics.constants."""

from typing import Final

HELLO_PROTOCOL: Final = "/ponw/hello/1"
HELLO_BYTES: Final = 32 << 10
HELLO_SECONDS: Final = 10.0
"""A connection whose peer has not said hello by then is closed."""

ADDRESS_BYTES: Final = 128
ADDRESSES_MAX: Final = 8
"""Addresses kept of one peer."""
CONTACTS_MAX: Final = 16
"""Peers named in one hello."""
BOOK_MAX: Final = 512
"""Peers whose addresses are remembered."""
REMEMBERED_MAX: Final = 64
"""Peers that a node knows again after it was started anew."""
REMEMBERED_SECONDS: Final = 2.0
"""Between two looks at whether there is something to save of them."""
INBOUND_MAX: Final = 192
"""Incoming connections of peers that have said hello."""
OUTBOUND_MAX: Final = 64
"""Connections that we have opened."""
UNPROVEN_MAX: Final = 64
"""Incoming connections whose peer has not said hello yet."""
UNPROVEN_EACH: Final = 16
"""The same of one address."""
UNPROVEN_BANNED: Final = 2
"""The same of an address that is banned: a staked peer behind it can still prove itself."""
UNSTAKED_EACH: Final = 16
"""Incoming connections of unstaked peers of one address."""
OUTBOUND_EACH: Final = 16
"""Connections that we have opened to one address, other than those the node or its operator asked for."""
CONNECTIONS_PER_PEER: Final = 2
"""The same direction of one peer."""
PEERS_PER_ACCOUNT: Final = 8
"""Connected peers that one account's stake speaks for; more count as unstaked."""
ARRIVAL_RATE: Final = 20
"""Incoming connections a second and address, with a burst of four seconds' worth; a handshake costs milliseconds."""
ARRIVAL_RATE_BANNED: Final = 1
ADDRESSES_TRACKED: Final = 4096
"""Addresses whose rate is known."""
WANTED_MEMBERS: Final = 16
"""Below so many members, remembered peers are dialled."""

IDENTIFY_BYTES: Final = 8 << 10
IDENTIFY_SECONDS: Final = 10.0
PROTOCOLS_MAX: Final = 64
"""Protocols that a peer says it serves."""

STREAMS_PER_PEER: Final = 64
"""Open streams of one peer and protocol."""
KAD_STREAMS_PER_PEER: Final = 4
KAD_SECONDS: Final = 30.0
"""The library serves 12 DHT streams at once: one that idles is closed after this, or twelve would block all."""
STREAM_RATE: Final = 50
"""New streams a second and peer, with a burst of four seconds' worth."""

GOSSIP_FRAME_BYTES: Final = 256 << 10
"""One RPC of gossipsub, which may hold several messages."""
GOSSIP_PARTS: Final = 64
"""Messages in one RPC."""
GOSSIP_RATE: Final = 200
"""Messages a second and forwarding peer, with a burst of four seconds' worth."""
GOSSIP_SKEW: Final = 120
"""Seconds that an announcement's time may differ from ours."""
ENVELOPE_BYTES: Final = 512
"""What the envelope adds to a body, at most."""
PUBLISH_PAUSE: Final = 0.01
"""Seconds between two of our own announcements: the library's queues hold 32, and what overflows is lost."""
SUBSCRIBER_QUEUE: Final = 256
"""Announcements that wait for a slow reader; older ones are dropped and counted."""

RECORD_KEY_BYTES: Final = 128
RECORD_BYTES: Final = 16 << 10
"""A DHT value. Larger ones belong into a stream."""
RECORD_SWEEP_SECONDS: Final = 60.0
DISCOVERY_SECONDS: Final = 60.0
"""Between two look-ups of our own neighbourhood in the DHT."""

SCORE_BAN: Final = 100
"""Points of misbehaviour at which a peer is banned."""
SCORE_HALF_LIFE: Final = 600
"""Seconds in which points decay to half."""
BAN_SECONDS: Final = 3600
"""The first ban; each further one lasts twice as long, up to BAN_SECONDS_MAX."""
BAN_SECONDS_MAX: Final = 7 * 86400
ORIGIN_BAN: Final = 300
"""Points of all unstaked peers of one address at which the address is banned: three banned keys' worth."""
ORIGIN_BAN_SECONDS: Final = 900
"""The first ban of an address; each further one lasts twice as long, up to ORIGIN_BAN_SECONDS_MAX."""
ORIGIN_BAN_SECONDS_MAX: Final = 86400
LEDGER_MAX: Final = 4096
"""Peers with a score on record."""
REFUSED_MAX: Final = 256

BINDING_SECONDS: Final = 30 * 86400
"""How long a node's own binding lasts; it is signed anew at half."""
BINDING_SECONDS_MAX: Final = 400 * 86400
STAKE_FRESH_SECONDS: Final = 60
STAKE_STALE_SECONDS: Final = 900
"""While the chain's endpoint is down, a known stake counts this long."""
STAKE_RETRY_SECONDS: Final = 5
"""After a failure nobody asks the endpoint for so long."""
STAKES_MAX: Final = 4096

LAN_PEERS_MAX: Final = 256
"""Announcements of the LAN that are kept."""

RELAY_RESERVATIONS: Final = 16
"""Peers that may be reached through us, where we relay; only staked and named ones."""
RELAY_CIRCUITS: Final = 4
"""Connections at once through us to one of them; and of one peer to others."""
RELAY_SECONDS: Final = 600
"""How long one connection through us lasts at most."""
RELAY_BYTES: Final = 16 << 20
"""Bytes both ways through us on one connection."""
RELAY_RESERVATION_SECONDS: Final = 3600
RELAY_RENEW_SECONDS: Final = 900.0
RELAY_CALL_SECONDS: Final = 20.0
RELAY_TICK: Final = 0.5
DIRECT_SECONDS: Final = 5.0
"""Where relays are used, one is tried when a peer does not answer at its own address for so long."""
RELAYS_TRIED: Final = 4
"""Relays tried to reach one peer."""
PUNCHED_MAX: Final = 4
"""Addresses tried of one peer, hole punching."""

CONTROL_FRAME_BYTES: Final = 1 << 20
CONTROL_CONNECTIONS: Final = 512
INCOMING_QUEUE: Final = 32
"""Streams of peers that wait for the node's accept()."""
INCOMING_SECONDS: Final = 15.0
SPLICE_CHUNK: Final = 1 << 18
SPLICE_STALL_SECONDS: Final = 300.0
"""A stream whose reader takes nothing for so long is reset."""
ENDINGS_MAX: Final = 4096
SOCKET_PATH_BYTES: Final = 100
"""Longest path of a UNIX socket (sun_path holds 108)."""
