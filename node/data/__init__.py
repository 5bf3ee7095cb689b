"""Training text: the shipped corpus, token shards, their hashed manifest, and the dataset read from them."""
