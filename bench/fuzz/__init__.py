"""A hostile peer: junk for every protocol and topic of the peer network, and the honest node that has to bear it."""
