"""The round loop of a staked node: train, commit, audit, dispute, take the outer step."""
