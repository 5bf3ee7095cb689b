"""What a prover publishes for a round: the files, their index, the server and the client."""
