// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Payee, Quote } from "../interfaces/IInferenceEscrow.sol";

/// @title QuoteLib
/// @notice EIP-712 struct hashes of quotes and vouchers.
library QuoteLib {
    bytes32 internal constant PAYEE_TYPEHASH = keccak256("Payee(address account,uint16 layers)");
    bytes32 internal constant QUOTE_TYPEHASH = keccak256(
        "Quote(address payer,address signer,address server,uint256 price,uint32 maxTokens,uint64 validUntil,bytes32 task,address embedding,address head,Payee[] payees)Payee(address account,uint16 layers)"
    );
    bytes32 internal constant VOUCHER_TYPEHASH = keccak256("Voucher(bytes32 request,uint32 tokens)");

    /// @notice EIP-712 hashStruct of `quote`.
    function structHash(Quote calldata quote) internal pure returns (bytes32) {
        bytes32[] memory payees = new bytes32[](quote.payees.length);
        for (uint256 i = 0; i < payees.length; ++i) {
            payees[i] = keccak256(abi.encode(PAYEE_TYPEHASH, quote.payees[i].account, quote.payees[i].layers));
        }
        return keccak256(
            abi.encode(
                QUOTE_TYPEHASH,
                quote.payer,
                quote.signer,
                quote.server,
                quote.price,
                quote.maxTokens,
                quote.validUntil,
                quote.task,
                quote.embedding,
                quote.head,
                keccak256(abi.encodePacked(payees))
            )
        );
    }

    /// @notice EIP-712 hashStruct of a voucher.
    function voucherHash(bytes32 request, uint32 tokens) internal pure returns (bytes32) {
        return keccak256(abi.encode(VOUCHER_TYPEHASH, request, tokens));
    }

    /// @notice All layers that the payees hold, or 0 where a payee holds none or is nobody.
    function layersOf(Quote calldata quote) internal pure returns (uint256 layers) {
        for (uint256 i = 0; i < quote.payees.length; ++i) {
            Payee calldata payee = quote.payees[i];
            if (payee.account == address(0) || payee.layers == 0) return 0;
            layers += payee.layers;
        }
    }
}
