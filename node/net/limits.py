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
MEMBERS_MAX: Final = 256
"""Peers connected and admitted at one time."""
WANTED_MEMBERS: Final = 16
"""Below so many members, remembered peers are dialled."""

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
