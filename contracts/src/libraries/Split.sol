// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Split
/// @notice How an answer's fee is shared; economics/escrow_split.py is the same rule in the same order.
/// @dev Every part is rounded down, so what rounding leaves over is nobody's: it goes back to the payer.
library Split {
    uint256 internal constant BPS = 10_000;
    /// @notice To the holder of the embedding.
    uint256 internal constant EMBEDDING_BPS = 1500;
    /// @notice To the holder of the head.
    uint256 internal constant HEAD_BPS = 2000;
    /// @notice Burned.
    uint256 internal constant BURN_BPS = 500;

    /// @param layers What is left for the holders of layers, before it is divided among them.
    struct Parts {
        uint256 embedding;
        uint256 head;
        uint256 burned;
        uint256 layers;
    }

    /// @notice The fixed parts of `fee`.
    function parts(uint256 fee) internal pure returns (Parts memory p) {
        p.embedding = down(fee, EMBEDDING_BPS, BPS);
        p.head = down(fee, HEAD_BPS, BPS);
        p.burned = down(fee, BURN_BPS, BPS);
        p.layers = fee - p.embedding - p.head - p.burned;
    }

    /// @notice floor(amount * share / whole).
    /// @dev A fee was deposited, so it is within the token's supply and the product far within 256 bits.
    function down(uint256 amount, uint256 share, uint256 whole) internal pure returns (uint256) {
        return amount * share / whole;
    }
}
